"""Peak memory of a scoring with 5,000 and with 500,000 patients: it must not grow with the population."""

from bench.batch import Asked, generated
from bench.batch_runs import OURS, TWO, Job, Spent, prepare, run
from bench.population import AT, Export, Order
from bench.report import Target, target_table

POPULATIONS = (5_000, 500_000)
WANTED = 0.5
"""Half of the lines, so that half a million patients fit in about 10 GB; the more are wanted, the more is held."""

LIMIT = 250


def told(asked: Asked, populations: tuple[int, ...] = POPULATIONS) -> str:
    """One run each of one and two workers for each population, with the memory of the whole tree looked at."""
    lines = [
        "| patients | GB | workers | seconds | largest RSS of a process MB | largest PSS of all together MB |",
        "|--:|--:|--:|--:|--:|--:|",
    ]
    targets = []
    for patients in populations:
        export = generated(asked.data, Order(patients=patients, wanted=WANTED, seed=asked.seed))
        job = Job(export, AT.isoformat(), asked.data / "scratch")
        prepare(job)
        for workers, name in ((1, OURS), (2, TWO)):
            spent = run(name, job, look=True)
            lines.append(row(export, workers, spent))
            targets.append(target(patients, workers, spent))
    note = (
        f"{100 * WANTED:.0f} % of the lines wanted. PSS counts a page that processes share once; it is looked at ten "
    )
    note += "times a second, so that a peak between two looks is missed. RSS is the kernel's own high-water mark."
    return "\n".join([*lines, "", note, "", target_table(targets)])


def row(export: Export, workers: int, spent: Spent) -> str:
    cells = (f"{export.size / 1e9:.1f}", str(workers), f"{spent.wall:.1f}", megabytes(spent.rss), megabytes(spent.pss))
    return f"| {export.patients:,} | {' | '.join(cells)} |"


def target(patients: int, workers: int, spent: Spent) -> Target:
    """Of each process, by the larger of the two measures where there is one only; two workers are two of them."""
    most = (max(spent.rss, spent.pss) if workers == 1 else spent.rss) / 1e6
    promise = f"peak memory of a process, {patients:,} patients, {workers} worker{'s' if workers > 1 else ''}"
    return Target(promise, f"≤ {LIMIT} MB", f"{most:.0f} MB", most <= LIMIT)


def megabytes(count: int) -> str:
    return f"{count / 1e6:.0f}"
