"""One patient under one model: a risk, why there is none, or why the patient could not take part."""

from collections.abc import Iterable
from datetime import datetime

from msgspec import Struct

from cds.errors import BedsideError, DataUnavailable, WrongPatient
from cds.fhir.chart import Chart, Located
from cds.fhir.identity import split, subject_of
from cds.risk.estimate import Outcome
from cds.risk.model import RiskModel
from cds.risk.scoring import score


class Rejected(Struct, frozen=True):
    """A patient who could not be asked about. `reason`: "identity", "unavailable" or "failed"."""

    reason: str
    text: str


Answer = Outcome | Rejected


def answer(model: RiskModel, chart: Chart | DataUnavailable, at: datetime) -> Answer:
    """What fails here fails for nobody else."""
    if isinstance(chart, DataUnavailable):
        return _rejected(chart)
    try:
        return next(score(model, (chart,), at))
    except BedsideError as error:
        return _rejected(error)


def _rejected(error: BedsideError) -> Rejected:
    reason = "unavailable" if isinstance(error, DataUnavailable) else "failed"
    return Rejected("identity" if isinstance(error, WrongPatient) else reason, error.message)


def bases_of(located: Iterable[Located]) -> set[str]:
    """The one server that absolute references of a chart name; two of them are two patients until somebody says not."""
    spelled = {s.reference for r, _ in located if (s := r.subject or subject_of(r)) and s.reference}
    bases = {base for base, _ in map(split, spelled) if base}
    return bases if len(bases) == 1 else set()
