"""CURB-65 as a risk model: how severe a pneumonia acquired in the community is (Lim et al., Thorax 2003)."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

from cds import (
    ALERT,
    GCS,
    Age,
    Consciousness,
    Deceased,
    Item,
    Latest,
    Missing,
    PointsModel,
    Predictors,
    Reading,
    Reference,
    Refusal,
    VitalSigns,
    hours,
    lab_series,
    measured_item,
    notes_of,
    unsuited,
    without_answer,
)

OUTCOME = "CURB-65"
UREA = 7 * 2.8014
"""7 mmol/L of urea as urea nitrogen in mg/dL, by the constant with which laboratories' mmol/L are converted."""
_VITALS = VitalSigns()
_NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
MEASURED = {
    "urea_nitrogen": "urea of the last 24 hours",
    "resp_rate": "respiratory rate",
    "sbp": "systolic blood pressure",
    "dbp": "diastolic blood pressure",
}


class Curb65Row(Predictors):
    deceased = Deceased()
    age = Age()
    consciousness = Consciousness(_VITALS)
    urea_nitrogen = Latest(lab_series("bun", count=10), within=hours(24))
    resp_rate = _VITALS.of("resp_rate")
    sbp = _VITALS.of("sbp")
    dbp = _VITALS.of("dbp")


class Curb65(PointsModel):
    id = "curb-65"
    predictors = Curb65Row

    def gate(self, row: Curb65Row) -> Refusal | None:
        return next(_refusals(row), None)

    def items(self, row: Curb65Row) -> Sequence[Item]:
        return (
            _confusion(row.consciousness),
            measured_item("Urea above 7 mmol/L", row.urea_nitrogen, lambda value: int(value > UREA), _urea),
            measured_item(
                "Respiratory rate 30 or more", row.resp_rate, lambda rate: int(rate >= 30), "{:g} /min".format
            ),
            _pressure(row.sbp, row.dbp),
            measured_item("Age 65 or more", row.age, lambda years: int(years >= 65)),
        )

    def band(self, row: Curb65Row, points: int) -> str:
        return "high" if points >= 3 else "intermediate" if points == 2 else "low"

    def cautions(self, row: Curb65Row) -> Sequence[str]:
        said = ["only for pneumonia acquired in the community, which is not checked", *notes_of(row, MEASURED)]
        if isinstance(row.consciousness, Reading) and row.consciousness.value not in (ALERT, "new confusion"):
            said.append(f"impaired consciousness ({row.consciousness.value}) counts as confusion")
        return said

    @classmethod
    def reference_row(cls, values: Mapping[str, str]) -> Reference:
        row = Curb65Row.given(
            _NOON,
            age=int(values["age"]),
            consciousness=Reading("new confusion") if values["conf"] == "1" else Reading(ALERT, method=GCS),
            urea_nitrogen=float(values["bun_mgdl"]),
            resp_rate=float(values["rr"]),
            sbp=float(values["sbp"]),
            dbp=float(values["dbp"]),
        )
        return Reference(row, {}, {(OUTCOME, None): float(values["expected"])})


def confusion(level: Reading[str]) -> bool | None:
    """Charted: confusion or less than alert is yes, a Glasgow Coma Scale of 15 is no. Alert alone does not say."""
    if level.value != ALERT:
        return True
    return False if level.method == GCS else None


def _confusion(level: Reading[str] | Missing) -> Item:
    if isinstance(level, Missing):
        return Item("Confusion", level.why, None)
    said = confusion(level)
    return Item("Confusion", level.value, None if said is None else int(said))


def _urea(nitrogen: float) -> str:
    return f"{nitrogen / 2.8014:.1f} mmol/L"


def _pressure(sbp: Reading[float] | Missing, dbp: Reading[float] | Missing) -> Item:
    name = "Blood pressure below 90, or 60 or less"
    if isinstance(sbp, Missing) or isinstance(dbp, Missing):
        return Item(name, "not known", None)
    return Item(name, f"{sbp.value:g}/{dbp.value:g} mmHg", int(sbp.value < 90 or dbp.value <= 60))


def _refusals(row: Curb65Row) -> Iterator[Refusal]:
    if (person := unsuited(row.deceased, row.age)) is not None:
        yield person
    if missing := without_answer(row, MEASURED):
        yield Refusal("inputs-missing", f"not known: {', '.join(missing)}")
    if isinstance(row.consciousness, Missing) or confusion(row.consciousness) is None:
        yield Refusal("ask", "ask: is there new confusion? The chart does not say")
