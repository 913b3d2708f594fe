"""The benchmark's table: medians of the rounds, ratios to the peers of the same run, and each target met or missed."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from statistics import median, quantiles

from bench.load import Round

Key = tuple[str, str, int]  # server, size of the request, connections
ECHO, OFF, DURABLE = "echo", "bedside-ledger-off", "bedside-durable"
DICTS, FHIR = "healthchain-dicts", "healthchain-fhir"
NAMES = {
    ECHO: "bare ASGI echo",
    "echo-short": "the same, answering two bytes",
    OFF: "Bedside, ledger off",
    DURABLE: "Bedside, ledger durable",
    DICTS: "HealthChain on dicts",
    "healthchain-frozen": "the same, start-up objects frozen",
    FHIR: "HealthChain on FHIR objects",
}
SHORT, MOST = "60 KB", 64
QUIET = 0.05  # of the machine for foreign processes: beyond it the rates are no longer the servers' own


@dataclass(frozen=True)
class Measured:
    """Every round of a run, with the milliseconds of the durable commits that were timed between them."""

    rounds: Mapping[Key, Sequence[Round]]
    commits: Sequence[float]

    def middle(self, key: Key, of: Callable[[Round], float]) -> float:
        """The median over the rounds."""
        return median(of(one) for one in self.rounds[key])

    def has(self, *servers: str) -> bool:
        """Whether these servers took part."""
        return set(servers) <= self.servers

    @property
    def servers(self) -> set[str]:
        """Who took part."""
        return {server for server, _, _ in self.rounds}

    @property
    def sizes(self) -> list[str]:
        """The request sizes, as measured."""
        return list(dict.fromkeys(size for _, size, _ in self.rounds))

    @property
    def connections(self) -> list[int]:
        """The numbers of connections, as measured."""
        return list(dict.fromkeys(connections for _, _, connections in self.rounds))


@dataclass(frozen=True)
class Target:
    """One promise and what became of it."""

    promise: str
    limit: str
    measured: str
    met: bool


def report(measured: Measured) -> str:
    """All tables in Markdown."""
    tables = [figures(measured, size) for size in measured.sizes]
    met = list(targets(measured))
    return "\n\n".join(
        [*tables, commit_line(measured.commits), disturbance(measured), *([target_table(met)] if met else [])]
    )


def figures(measured: Measured, size: str) -> str:
    """What each server did with requests of one size."""
    lines = [
        f"**{size} requests**",
        "",
        "| server | connections | requests/s | spread | p50 ms | p99 ms | CPU µs | CPU ÷ echo | busy | RSS MB |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for server, connections in product(NAMES, measured.connections):
        if server in measured.servers:
            lines.append(figure_row(measured, (server, size, connections)))
    return "\n".join(lines)


def figure_row(measured: Measured, key: Key) -> str:
    """One server, size and number of connections; the spread is half the range of the rates over their median."""
    server, size, connections = key
    rates = [one.rate for one in measured.rounds[key]]
    cpu = measured.middle(key, lambda one: one.cpu)
    echo = (ECHO, size, connections)
    ratio = f"{cpu / measured.middle(echo, lambda one: one.cpu):.2f}" if measured.has(ECHO) else ""
    cells = [
        NAMES[server],
        str(connections),
        f"{median(rates):,.0f}" if median(rates) >= 100 else f"{median(rates):.1f}",
        f"± {50 * (max(rates) - min(rates)) / median(rates):.0f} %",
        f"{measured.middle(key, lambda one: one.p50):.2f}",
        f"{measured.middle(key, lambda one: one.p99):.2f}",
        f"{cpu:,.0f}",
        ratio,
        f"{100 * measured.middle(key, lambda one: one.busy):.0f} %",
        f"{max(one.rss for one in measured.rounds[key]):.0f}",
    ]
    return f"| {' | '.join(cells)} |"


def commit_line(commits: Sequence[float]) -> str:
    """The commit of the same disk in the same minutes."""
    worst = quantiles(commits, n=100, method="inclusive")[98]
    return (
        f"One SQLite commit (WAL, synchronous=FULL, 4 KB) on the ledger's disk: median {median(commits):.2f} ms, "
        f"p99 {worst:.2f} ms, {len(commits)} commits between the rounds."
    )


def disturbance(measured: Measured) -> str:
    """How far the machine was ours: what foreign processes took decides whether the figures may be believed."""
    shares = [one.others for rounds in measured.rounds.values() for one in rounds]
    line = f"Other processes took {100 * median(shares):.0f} % of the machine in the median round"
    line += f", {100 * max(shares):.0f} % in the worst."
    return line if median(shares) < QUIET else f"{line} **Disturbed: measure again on a quiet machine.**"


def targets(measured: Measured) -> Iterator[Target]:
    """Every target whose servers took part."""
    yield from cpu_targets(measured)
    yield from rate_targets(measured)
    yield from latency_targets(measured)
    yield from memory_targets(measured)


def cpu_targets(measured: Measured) -> Iterator[Target]:
    """CPU per request against the echo's, short requests."""
    limits = {OFF: 3.0, DURABLE: 4.5}
    for (server, limit), connections in product(limits.items(), measured.connections):
        if measured.has(ECHO, server) and SHORT in measured.sizes:
            mine, echo = (measured.middle((one, SHORT, connections), lambda r: r.cpu) for one in (server, ECHO))
            promise = f"{NAMES[server]}: CPU ÷ echo, {SHORT}, {of(connections)}"
            yield Target(promise, f"≤ {limit:.1f}", f"{mine / echo:.2f}", mine / echo <= limit)


def rate_targets(measured: Measured) -> Iterator[Target]:
    """Requests a second against HealthChain's at the most connections."""
    limits = {(DURABLE, DICTS): 8, (DURABLE, FHIR): 50, (OFF, DICTS): 12, (OFF, FHIR): 80}
    for ((server, peer), limit), size in product(limits.items(), measured.sizes):
        if measured.has(server, peer) and MOST in measured.connections:
            mine, theirs = (measured.middle((one, size, MOST), lambda r: r.rate) for one in (server, peer))
            promise = f"{NAMES[server]}: requests/s ÷ {NAMES[peer]}, {size}, {of(MOST)}"
            yield Target(promise, f"≥ {limit}", f"{mine / theirs:.1f}", mine / theirs >= limit)


def latency_targets(measured: Measured) -> Iterator[Target]:
    """The slowest hundredth: three times the echo's without the ledger, with it that and two commits."""
    for size, connections in product(measured.sizes, measured.connections):
        where = f"{size}, {of(connections)}"
        p99 = {server: measured.middle((server, size, connections), lambda r: r.p99) for server in measured.servers}
        if measured.has(ECHO, OFF):
            ratio = p99[OFF] / p99[ECHO]
            yield Target(f"{NAMES[OFF]}: p99 ÷ echo, {where}", "≤ 3.0", f"{ratio:.2f}", ratio <= 3)
        if measured.has(ECHO, DURABLE):
            limit = 3 * p99[ECHO] + 2 * median(measured.commits)
            promise = f"{NAMES[DURABLE]}: p99 within three of echo and two commits, {where}"
            yield Target(promise, f"≤ {limit:.2f} ms", f"{p99[DURABLE]:.2f} ms", p99[DURABLE] <= limit)


def memory_targets(measured: Measured) -> Iterator[Target]:
    """Resident memory of one worker at its largest."""
    for server in (OFF, DURABLE):
        if measured.has(server):
            rss = max(one.rss for key, rounds in measured.rounds.items() if key[0] == server for one in rounds)
            yield Target(f"{NAMES[server]}: RSS of one worker", "≤ 150 MB", f"{rss:.0f} MB", rss <= 150)


def target_table(found: Sequence[Target]) -> str:
    """Targets as rows, the missed ones in bold."""
    lines = ["| target | limit | measured | |", "|---|--:|--:|---|"]
    lines += [f"| {t.promise} | {t.limit} | {t.measured} | {'met' if t.met else '**missed**'} |" for t in found]
    return "\n".join(lines)


def of(connections: int) -> str:
    """Connections in words."""
    return f"{connections} connection{'s' if connections > 1 else ''}"
