"""Whether dialysis was given twice in seven days, or continuously: MELD 3.0 then takes creatinine as 3.0 mg/dL."""

from datetime import datetime
from importlib.resources import files

from cds import (
    Chart,
    CodeSet,
    Fact,
    Feature,
    Missing,
    Need,
    Reading,
    newest_of,
    read_code_sets,
    recorded,
    structs,
    within_days,
)
from models._kidney.gates import RECORDS

CODES = read_code_sets(files("models.meld_3") / "codes.csv")
DAYS = 7


class DialysisTwice(Feature[Reading[bool] | Missing]):
    """Two days with dialysis within seven days, or one continuous treatment; `method` says which."""

    codes = (CODES["meld_dialysis"], CODES["meld_continuous_dialysis"])

    def needs(self) -> tuple[Need, ...]:
        return RECORDS

    def read(self, chart: Chart, at: datetime) -> Reading[bool] | Missing:
        sessions, continuous = (_recent(chart, codes, at) for codes in self.codes)
        if continuous:
            return _found(chart, continuous, "continuous dialysis")
        days = {moment.last.date() for fact in sessions if (moment := chart.when(fact)) is not None}
        return _found(chart, sessions, "dialysis twice in 7 days") if len(days) > 1 else Missing("never recorded")


def _recent(chart: Chart, codes: CodeSet, at: datetime) -> list[Fact]:
    return [fact for fact in recorded(chart, (codes,), RECORDS, at) if within_days(chart, fact, at, DAYS)]


def _found(chart: Chart, facts: list[Fact], method: str) -> Reading[bool] | Missing:
    newest = newest_of(chart, facts)
    return structs.replace(newest, method=method) if isinstance(newest, Reading) else newest
