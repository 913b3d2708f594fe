"""What the whole catalogue costs on one 60 KB chart, beside the kidney equation alone, and what it costs to start."""

import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from statistics import median

from msgspec import Raw, Struct, field, json

from bench.payloads import bodies
from bench.record import PATIENT
from bench.report import Target, target_table
from cds.fhir.chart import Chart
from cds.fhir.codes import Vocabulary
from cds.fhir.identity import Identity
from cds.fhir.resources import read
from cds.risk.model import RiskModel
from cds.risk.scoring import score
from cds.settings import read_settings
from cds.site import load_site

ROUNDS, LOOKS = 15, 40
MOST_IMPORT = 1.0
"""Seconds of import that a start with every model may take."""
_START = """
import sys, time
begun = time.process_time()
from cds.settings import read_settings
from cds.site import load_site
load_site(settings=read_settings(region="north-america"))
print(time.process_time() - begun, "sklearn" in sys.modules)
"""


def measure(rounds: int = ROUNDS) -> str:
    """A table: the CPU time of chart and scores, with one model and with all, in turn."""
    site = load_site(settings=read_settings(region="north-america"))
    models, data = list(site.models.values()), chart_bytes()
    alone, at = [site.models["kfre-4"]], datetime.now(UTC)
    only = site.vocabulary.only(alone[0].predictors.code_sets())
    one, every = list[float](), list[float]()
    for _ in range(rounds):
        one.append(_cpu(data, only, alone, at))
        every.append(_cpu(data, site.vocabulary, models, at))
    starts, loaded = zip(*(_start() for _ in range(5)), strict=True)
    ratio = median(every) / median(one)
    of = f"A chart of {sum(map(len, data)):,} bytes, from its resources' bytes to every outcome"
    rows = [
        f"{of}; CPU, {rounds} rounds of {LOOKS}.",
        "",
        "| models | median ms | least ms |",
        "|---|--:|--:|",
        f"| kfre-4 | {median(one):.2f} | {min(one):.2f} |",
        f"| all {len(models)} | {median(every):.2f} | {min(every):.2f} |",
        "",
        f"All cost {ratio:.1f} times one; {median(every) / len(models):.2f} ms each.",
        "",
    ]
    start = Target(
        "start with every model, scikit-learn not loaded",
        f"at most {MOST_IMPORT:g} s of CPU",
        f"{median(starts):.2f} s{', and it is loaded' if any(loaded) else ''}",
        median(starts) <= MOST_IMPORT and not any(loaded),
    )
    return "\n".join(rows) + "\n" + target_table([start])


def chart_bytes() -> list[bytes]:
    """The resources of the benchmark's 60 KB call, each as its bytes."""
    call = json.decode(bodies()["60 KB"], type=_Call)
    found = []
    for value in call.prefetch.values():
        whole = json.decode(value, type=_Searchset)
        found += [bytes(one.resource) for one in whole.entry] if whole.kind == "Bundle" else [bytes(value)]
    return found


class _Call(Struct):
    prefetch: dict[str, Raw]


class _Entry(Struct):
    resource: Raw


class _Searchset(Struct):
    kind: str = field(name="resourceType")
    entry: tuple[_Entry, ...] = ()


def _cpu(data: Sequence[bytes], vocabulary: Vocabulary, models: Sequence[RiskModel], at: datetime) -> float:
    """CPU time in ms of one patient from bytes to the outcomes of the models, the mean of many."""
    begun = time.process_time()
    for _ in range(LOOKS):
        chart = Chart.of([(read(one), None) for one in data], Identity(PATIENT), vocabulary)
        for model in models:
            next(score(model, (chart,), at))
    return (time.process_time() - begun) / LOOKS * 1e3


def _start() -> tuple[float, bool]:
    """CPU seconds of a start with every model, in a process of its own, and whether scikit-learn came with it."""
    told = subprocess.run([sys.executable, "-c", _START], check=True, capture_output=True, text=True).stdout.split()
    return float(told[0]), told[1] == "True"
