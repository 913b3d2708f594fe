"""Puts what was measured into bench/README.md, each benchmark between marks of its own."""

import os
import time
from collections.abc import Callable
from pathlib import Path

from bench.load import children_seconds, machine_seconds
from bench.machine import place
from bench.report import QUIET

README = Path(__file__).with_name("README.md")


def write(name: str, text: str) -> None:
    """Replace what stands between `<!-- name: start -->` and `<!-- name: end -->`."""
    start, end = f"<!-- {name}: start -->", f"<!-- {name}: end -->"
    before, rest = README.read_text(encoding="utf-8").split(start)
    README.write_text(f"{before}{start}\n\n{text}\n\n{end}{rest.split(end)[1]}", encoding="utf-8")


def own() -> float:
    """CPU time of this process and of those that it started and that have ended."""
    return time.process_time() + children_seconds()


def placed(measure: Callable[[], str], among_others: str = "") -> str:
    """What a benchmark in this process tells, under the machine's line, with how much others took meanwhile.

    `among_others`: what of the benchmark itself counts as others, so that nobody can say whether the machine was quiet.
    """
    start, all_spent, spent = time.monotonic(), machine_seconds(), own()
    told = measure()
    others, elapsed = machine_seconds() - all_spent - (own() - spent), time.monotonic() - start
    share = max(0.0, others / (elapsed * (os.cpu_count() or 1)))
    line = f"Other processes{among_others} took {100 * share:.0f} % of the machine meanwhile."
    if share >= QUIET and not among_others:
        line += " **Disturbed: measure again on a quiet machine.**"
    return f"{place()}.\n\n{told}\n\n{line}"
