"""Scoring an export in bulk, beside whatever else reads the same lines: search, decoding, SQL, validation."""

import argparse
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench import population, population_copies
from bench.batch_profile import profiled
from bench.batch_report import BatchMeasured, report
from bench.batch_runs import KFRE, LOCAL, OURS, PEERS, Job, Spent, codes, prepare, run
from bench.population import Export, Order

ROUNDS = 5
DATA = Path.home() / ".cache" / "bedside-bench"
NAMES = (*PEERS, *LOCAL)
GENERATED, COPIES = "generated", "copies"
TITLES = {GENERATED: "generated", COPIES: "published data, multiplied"}
UNITS = {"MB": 10**6, "GB": 10**9}


@dataclass(frozen=True)
class Asked:
    """What to measure, on which data, how often."""

    sizes: tuple[int, ...]
    sources: tuple[str, ...]
    names: tuple[str, ...]
    rounds: int
    data: Path
    wanted: float
    seed: int
    profile: bool


def size(text: str) -> int:
    """Bytes from "1.5GB" or "150MB"."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(MB|GB)", text.strip(), re.IGNORECASE)
    if not found or not float(found[1]):
        raise argparse.ArgumentTypeError(f"{text!r}: give a size as 150MB or 1.5GB")
    return round(float(found[1]) * UNITS[found[2].upper()])


def sizes(text: str) -> tuple[int, ...]:
    return tuple(map(size, text.split(",")))


def some_of(known: Sequence[str], text: str) -> tuple[str, ...]:
    """Names out of a list, separated by commas."""
    found = tuple(one.strip() for one in text.split(","))
    if wrong := [one for one in found if one not in known]:
        raise argparse.ArgumentTypeError(f"{', '.join(wrong)}: there are {'; '.join(known)}")
    return found


def arguments(given: Sequence[str], rounds: int = ROUNDS, usual: str = "1.5GB") -> Asked:
    """Read what `python -m bench batch` passes on; a benchmark has its usual rounds and size of data."""
    parser = argparse.ArgumentParser(prog="python -m bench batch", description=__doc__)
    parser.add_argument(
        "--size", type=sizes, default=sizes(usual), help=f"of the data (default: {usual}); 1.5GB,10GB for both"
    )
    known = (GENERATED, COPIES)
    parser.add_argument(
        "--source", type=partial(some_of, known), default=known, help="generated,copies (default: both)"
    )
    parser.add_argument("--only", type=partial(some_of, NAMES), default=NAMES, help=f"of: {', '.join(NAMES)}")
    parser.add_argument("--rounds", type=int, default=rounds, help="default: %(default)s")
    parser.add_argument("--data", type=Path, default=DATA, help="folder for the data (default: %(default)s)")
    parser.add_argument("--wanted", type=float, default=0.10, help="share of wanted lines (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=Order.seed, help="default: %(default)s")
    parser.add_argument("--profile", action="store_true", help="also where a run of one worker spends its time")
    asked = parser.parse_args(given)
    if asked.rounds < 1:
        parser.error("--rounds: at least one")
    return Asked(
        asked.size, asked.source, asked.only, asked.rounds, asked.data, asked.wanted, asked.seed, asked.profile
    )


def jobs(asked: Asked) -> Iterator[tuple[str, Job]]:
    """Each data set with its title, made now or kept from an earlier run; the published one only where it is."""
    scratch = asked.data / "scratch"
    for most in asked.sizes:
        if GENERATED in asked.sources:
            export = generated(asked.data, Order(size=most, wanted=asked.wanted, seed=asked.seed))
            yield GENERATED, Job(export, population.AT.isoformat(), scratch)
        source = population_copies.published() if COPIES in asked.sources else None
        if source is not None:
            yield COPIES, Job(copied(asked.data, source, most), population_copies.AT.isoformat(), scratch)
        elif COPIES in asked.sources:
            print("No published data: BEDSIDE_TEST_DATA names no folder that has it, so only generated data is read.")


def generated(data: Path, order: Order) -> Export:
    """The generator's export for an order, in a folder of its own below `data`."""
    held = f"{order.patients}-patients" if order.patients is not None else f"{(order.size or 0) / 1e9:g}GB"
    folder = data / f"generated-{held}-{100 * order.wanted:g}-percent-{order.seed}"
    asked = {"patients": order.patients, "size": order.size, "wanted": order.wanted, "seed": order.seed}
    most = order.size or round((order.patients or 0) * 8.6 / order.wanted * 1300)
    return population.kept(folder, asked, most, lambda into: population.generate(into, order))


def copied(data: Path, source: Path, most: int) -> Export:
    """The published export multiplied to a size; made anew when the published files are others."""
    folder = data / f"copies-{most / 1e9:g}GB"
    asked = {"size": most, "files": {file.name: file.stat().st_size for file in sorted(source.glob("*.ndjson"))}}
    multiply = population_copies.multiply
    return population.kept(folder, asked, most, lambda into: multiply(source, into, most, codes()))


def measured(names: Sequence[str], job: Job, rounds: int) -> dict[str, list[Spent]]:
    """Everyone once in each round, so that a slow minute meets them all; the order turns from round to round."""
    prepare(job)
    found: dict[str, list[Spent]] = {name: [] for name in names}
    for number in range(rounds):
        start = number % len(names)
        for name in (*names[start:], *names[:start]):
            found[name].append(run(name, job))
    return found


def told(asked: Asked) -> str:
    """Every data set's tables in Markdown."""
    parts = []
    for title, job in jobs(asked):
        names = tuple(name for name in asked.names if name != KFRE or title == GENERATED)
        found = BatchMeasured(TITLES[title], job.export, measured(names, job, asked.rounds))
        parts.append(report(found))
        if asked.profile and OURS in names:
            parts.append(profiled(job, found.rounds[OURS]))
        shutil.rmtree(job.scratch, ignore_errors=True)
    return "\n\n".join(parts)
