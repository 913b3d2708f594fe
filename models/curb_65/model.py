"""CURB-65 as a risk model: how severe a pneumonia acquired in the community is (Lim et al., Thorax 2003)."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

from cds import (
    ALERT,
    GCS,
    Age,
    Consciousness,
    Deceased,
    Explanation,
    Input,
    Latest,
    Missing,
    Predictors,
    Reading,
    Reference,
    Refusal,
    RiskModel,
    Score,
    VitalSigns,
    hours,
    lab_series,
    very_old,
)
from models._points.items import Item, explained, notes_of, person_refusals, total, unanswered, worded_inputs

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


class Curb65(RiskModel):
    id = "curb-65"
    predictors = Curb65Row

    def refuse(self, row: Curb65Row) -> Refusal | None:
        return next(_refusals(row), None)

    def predict(self, row: Curb65Row) -> Sequence[Score]:
        points = total(_items(row))
        band = "high" if points >= 3 else "intermediate" if points == 2 else "low"
        return (Score(OUTCOME, points, band=band),)

    def cautions(self, row: Curb65Row) -> Sequence[str]:
        said = ["only for pneumonia acquired in the community, which is not checked", *notes_of(row, MEASURED)]
        if isinstance(row.consciousness, Reading) and row.consciousness.value not in (ALERT, "new confusion"):
            said.append(f"impaired consciousness ({row.consciousness.value}) counts as confusion")
        return [*said, *very_old(row.age)]

    def inputs(self, row: Curb65Row) -> Sequence[Input]:
        return worded_inputs(self, row)

    def explanation(self, row: Curb65Row) -> Explanation:
        return explained(_items(row))

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


def _items(row: Curb65Row) -> tuple[Item, ...]:
    level, urea, rate, sbp, dbp, age = (
        row.consciousness,
        row.urea_nitrogen,
        row.resp_rate,
        row.sbp,
        row.dbp,
        row.age,
    )
    if (
        isinstance(level, Missing)
        or isinstance(urea, Missing)
        or isinstance(rate, Missing)
        or isinstance(sbp, Missing)
        or isinstance(dbp, Missing)
        or isinstance(age, Missing)
    ):
        raise TypeError("a row with a missing input was not refused")
    low = sbp.value < 90 or dbp.value <= 60
    return (
        Item("Confusion", level.value, int(bool(confusion(level)))),
        Item("Urea above 7 mmol/L", f"{urea.value / 2.8014:.1f} mmol/L", int(urea.value > UREA)),
        Item("Respiratory rate 30 or more", f"{rate.value:g} /min", int(rate.value >= 30)),
        Item("Blood pressure below 90, or 60 or less", f"{sbp.value:g}/{dbp.value:g} mmHg", int(low)),
        Item("Age 65 or more", f"{age.value}", int(age.value >= 65)),
    )


def _refusals(row: Curb65Row) -> Iterator[Refusal]:
    yield from person_refusals(row, youngest=18)
    if missing := unanswered(row, MEASURED):
        yield Refusal("inputs-missing", f"not known: {', '.join(missing)}")
    if isinstance(row.consciousness, Missing) or confusion(row.consciousness) is None:
        yield Refusal("ask", "ask: is there new confusion? The chart does not say")
