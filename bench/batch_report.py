"""The batch's tables: medians of the rounds, ratios within each round, and each target met or missed."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from bench.batch_runs import DUCKDB, FHIR, KFRE, MSGSPEC, OURS, RG, SAMPLED, SPARK, TWO, Spent
from bench.population import Export
from bench.report import Target, target_table

OF_RG, OF_MSGSPEC, OF_DUCKDB, OF_FHIR, OF_ONE, OF_TWO = 0.25, 2.0, 1.0, 100.0, 1.6, 0.4
WANTED = 0.10
"""The share of wanted lines for which the targets are stated."""


@dataclass(frozen=True)
class BatchMeasured:
    """Every run of every reader over one export, round by round."""

    title: str
    export: Export
    rounds: Mapping[str, Sequence[Spent]]

    def rates(self, name: str) -> list[float]:
        """Bytes a second in each round, for a loop over a sample those of the loop."""
        if name in SAMPLED:
            return [one.told["bytes"] / one.told["seconds"] for one in self.rounds[name]]
        return [self.export.size / one.wall for one in self.rounds[name]]

    def ratio(self, name: str, other: str) -> float:
        """How many times as fast as another, as the median of the rounds' ratios."""
        pairs = zip(self.rates(name), self.rates(other), strict=True)
        return median(one / than for one, than in pairs)

    def cpu_rates(self, name: str) -> list[float]:
        """Bytes a second of CPU time, which a neighbour on the machine changes less."""
        if name in SAMPLED:
            return [one.told["bytes"] / one.told["cpu"] for one in self.rounds[name]]
        return [self.export.size / one.cpu for one in self.rounds[name]]

    def cpu_ratio(self, name: str, other: str) -> float:
        """The same by CPU time."""
        pairs = zip(self.cpu_rates(name), self.cpu_rates(other), strict=True)
        return median(one / than for one, than in pairs)

    def middle(self, name: str, of: Callable[[Spent], float]) -> float:
        return median(of(one) for one in self.rounds[name])

    def has(self, *names: str) -> bool:
        return set(names) <= set(self.rounds)


def report(found: BatchMeasured) -> str:
    """One data set in Markdown."""
    export = found.export
    share = export.wanted / export.lines
    rounds = len(next(iter(found.rounds.values())))
    head = f"**{found.title}, {export.size / 1e9:.2f} GB**: {export.patients:,} patients, {export.lines:,} lines, "
    head += f"{100 * share:.1f} % of them wanted; {rounds} round{'s' if rounds > 1 else ''}."
    lines = [
        "| reader | MB/s | spread | MB a CPU second | peak RSS MB | Bedside ÷ it | by CPU |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    lines += [row(found, name) for name in found.rounds if name != KFRE]
    parts = [head, "\n".join(lines), *notes(found)]
    if abs(share - WANTED) < 0.01 and (targets := list(met(found))):
        parts.append(target_table(targets))
    return "\n\n".join(parts)


def row(found: BatchMeasured, name: str) -> str:
    """One reader; the spread is half the range of the rates over their median."""
    rates = found.rates(name)
    cells = [
        name,
        megabytes(rates),
        f"± {50 * (max(rates) - min(rates)) / median(rates):.0f} %",
        "" if name == SPARK else megabytes(found.cpu_rates(name)),
        "" if name == SPARK else f"{max(one.rss for one in found.rounds[name]) / 1e6:.0f}",
        f"{found.ratio(OURS, name):.2f}" if found.has(OURS) else "",
        f"{found.cpu_ratio(OURS, name):.2f}" if found.has(OURS) and name != SPARK else "",
    ]
    return f"| {' | '.join(cells)} |"


def megabytes(rates: Sequence[float]) -> str:
    """Their median in MB/s."""
    middle = median(rates) / 1e6
    return f"{middle:,.0f}" if middle > 100 else f"{middle:.1f}"


def notes(found: BatchMeasured) -> Iterator[str]:
    """What the table cannot say."""
    if found.has(FHIR):
        sampled = found.rounds[FHIR][0].told
        yield (
            f"fhir.resources read {sampled['lines']:,} lines taken evenly from the export; its rate is of the loop "
            "alone, without the import and with every line validated."
        )
    if found.has(KFRE):
        rate = median(one.told["patients"] / one.told["seconds"] for one in found.rounds[KFRE])
        text = "The `kfre` package reads no FHIR: from a ready table of inputs in memory it computes two horizons of "
        text += f"{rate:,.0f} patients a second."
        if found.has(OURS):
            own = found.export.patients / found.middle(OURS, lambda one: one.wall)
            text += f" Bedside, from files to files with every gate, scores or refuses {own:,.0f}."
        yield text
    if found.has(SPARK):
        yield (
            "Spark's Java machine and its Python workers end after the command that is measured: their CPU time and "
            "memory are not in the table, and count below as other processes."
        )
    if found.has(DUCKDB):
        scored = found.rounds[DUCKDB][0].told["patients"]
        yield f"DuckDB's query scores {scored:,} patients; it knows three of the gates, and gives no reasons."


def met(found: BatchMeasured) -> Iterator[Target]:
    """Every target whose readers took part."""
    limits = (
        (OURS, RG, OF_RG, "rate ÷ rg -F's search"),
        (OURS, MSGSPEC, OF_MSGSPEC, "rate ÷ msgspec on every line"),
        (OURS, DUCKDB, OF_DUCKDB, "rate ÷ DuckDB's"),
        (OURS, FHIR, OF_FHIR, "rate ÷ the fhir.resources loop"),
        (TWO, OURS, OF_ONE, "two workers ÷ one"),
        (SPARK, TWO, OF_TWO, "Spark local[2] ÷ two local workers"),
    )
    for name, other, limit, promise in limits:
        if found.has(name, other):
            ratio = found.ratio(name, other)
            yield Target(promise, f"≥ {limit:g}", f"{ratio:.2f}", ratio >= limit)
