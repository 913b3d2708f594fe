"""Where one worker's time goes: the phases that it notes itself, and the functions that take most of it."""

import pstats
import sys
from collections.abc import Iterator, Sequence
from io import StringIO
from pathlib import Path
from statistics import median

from bench.batch_runs import ONE, OURS, Job, Spent, ours, spend

TOP = 15


def profiled(job: Job, runs: Sequence[Spent]) -> str:
    """Phases by the run's own clock over all rounds, then one run under cProfile, which makes small calls look dear."""
    return "\n\n".join([*phases(runs), functions(job)])


def phases(runs: Sequence[Spent]) -> Iterator[str]:
    """The median seconds of each phase in run.json, when it has them."""
    noted = [one.told["seconds"] for one in runs if isinstance(one.told.get("seconds"), dict)]
    if noted:
        lines = ["| phase | seconds |", "|---|--:|"]
        lines += [f"| {phase} | {median(float(one[phase]) for one in noted):.2f} |" for phase in noted[0]]
        yield "\n".join(lines)


def functions(job: Job) -> str:
    """The functions with the most time of their own; what a worker process does besides is not seen."""
    kept = job.scratch / "profile"
    main = ["-c", PROFILED, str(kept), *ours(OURS, job)[1:]]
    spend([sys.executable, *main], ONE, job, name=OURS)
    stats = pstats.Stats(str(kept), stream=StringIO())
    spent = dict(stats.stats)  # type: ignore[attr-defined]
    whole = sum(numbers[2] for numbers in spent.values())
    lines = [f"One worker under cProfile, {whole:.1f} s in all:", "", "| function | calls | own s | share |"]
    lines.append("|---|--:|--:|--:|")
    for place, numbers in sorted(spent.items(), key=lambda item: -item[1][2])[:TOP]:
        lines.append(f"| {named(place)} | {numbers[1]:,} | {numbers[2]:.2f} | {100 * numbers[2] / whole:.0f} % |")
    return "\n".join(lines)


def named(place: tuple[str, int, str]) -> str:
    """A function by the end of its file's path, or a built-in by its name."""
    file, _, function = place
    if file == "~":
        return f"`{function.strip('<>')}`"
    return f"`{'/'.join(Path(file).parts[-3:])}: {function}`"


PROFILED = """
import cProfile, sys
from cds.cli import main
kept = sys.argv.pop(1)
profile = cProfile.Profile()
try:
    profile.runcall(main)
finally:
    profile.dump_stats(kept)
"""
