"""Spark on this machine's two cores beside two local workers, over the same generated export."""

from bench.batch import Asked, generated, measured
from bench.batch_report import BatchMeasured, report
from bench.batch_runs import OURS, SPARK, TWO, Job
from bench.population import AT, Order

SIZE = "10GB"
ROUNDS = 2  # one takes minutes; fewer than elsewhere, and the table says so


def told(asked: Asked) -> str:
    """The table of each size; Spark's time has the start of its session and of the Java machine in it."""
    parts = []
    for size in asked.sizes:
        export = generated(asked.data, Order(size=size, wanted=asked.wanted, seed=asked.seed))
        job = Job(export, AT.isoformat(), asked.data / "scratch")
        found = measured((OURS, TWO, SPARK), job, asked.rounds)
        parts.append(report(BatchMeasured("generated", export, found)))
    return "\n\n".join(parts)
