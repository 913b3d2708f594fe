"""NEWS2 as a risk model: points of one set of vital signs, and the response that they call for."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from cds import (
    ALERT,
    Item,
    Missing,
    PointsModel,
    Reading,
    Reference,
    Refusal,
    notes_of,
    total,
    unsuited,
    without_answer,
)
from models.news2 import equation
from models.news2.inputs import PARAMETERS, News2Row

OUTCOME = "NEWS2"
LOW, SINGLE, MEDIUM, HIGH = "low", "low-medium: 3 in a single parameter", "medium: urgent", "high: emergency"
_SPREAD = timedelta(hours=1)
_NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
_ACVPU = {"A": ALERT, "C": "new confusion", "V": "voice", "P": "pain", "U": "unresponsive"}


class News2(PointsModel):
    id = "news2"
    predictors = News2Row

    def gate(self, row: News2Row) -> Refusal | None:
        return next(_refusals(row), None)

    def items(self, row: News2Row) -> Sequence[Item]:
        return items(row)

    def band(self, row: News2Row, points: int) -> str:
        return band(items(row))

    def cautions(self, row: News2Row) -> Sequence[str]:
        said = notes_of(row, PARAMETERS)
        if isinstance(row.spo2, Reading) and isinstance(row.scale_2, Missing):
            said.append("oxygen saturation on scale 1: no prescribed target of 88 to 92 % is charted")
        times = [
            answer.when for name in PARAMETERS if isinstance(answer := getattr(row, name), Reading) and answer.when
        ]
        if times and max(times) - min(times) > _SPREAD:
            said.append(f"one set, but measured from {min(times):%H:%M} to {max(times):%H:%M} UTC")
        return said

    def exclusions(self, row: News2Row) -> Sequence[str]:
        return ("pregnancy",)

    def standing(self, row: News2Row) -> str:
        return f"NEWS2 {band(items(row))}"

    @classmethod
    def reference_row(cls, values: Mapping[str, str]) -> Reference:
        level = _ACVPU[values["acvpu"]]
        row = News2Row.given(
            _NOON,
            age=60,
            resp_rate=float(values["rr"]),
            spo2=float(values["spo2"]),
            scale_2=True if values["scale"] == "2" else None,
            oxygen=values["o2"] == "1",
            sbp=float(values["sbp"]),
            heart_rate=float(values["pulse"]),
            consciousness=level,
            temperature=float(values["temp"]),
        )
        return Reference(row, {}, {(OUTCOME, None): float(values["expected"])})


def items(row: News2Row) -> tuple[Item, ...]:
    """The seven parameters; without points those that the row does not have."""
    return (
        equation.rate_item(row.resp_rate),
        _saturation(row),
        equation.oxygen_item(row.oxygen),
        equation.pressure_item(row.sbp),
        equation.pulse_item(row.heart_rate),
        equation.level_item(row.consciousness),
        equation.temperature_item(row.temperature),
    )


def _saturation(row: News2Row) -> Item:
    """On scale 2 the points hang on oxygen too."""
    scale: equation.Scale = 2 if isinstance(row.scale_2, Reading) else 1
    oxygen = isinstance(row.oxygen, Reading) and row.oxygen.value
    saturation = row.oxygen if scale == 2 and isinstance(row.oxygen, Missing) else row.spo2
    return equation.saturation_item(saturation, scale, oxygen=oxygen)


def band(found: Sequence[Item]) -> str:
    """The class of a score, or of the part of it that is known."""
    points = total(found)
    if points >= 7:
        return HIGH
    if points >= 5:
        return MEDIUM
    return SINGLE if any(item.points == 3 for item in found) else LOW


def _refusals(row: News2Row) -> Iterator[Refusal]:
    if (person := unsuited(row.deceased, row.age, youngest=16)) is not None:
        yield person
    if isinstance(row.pregnancy, Reading):
        yield Refusal("pregnancy", "pregnant, or within 12 weeks of delivery: a maternity score is for that")
    if missing := without_answer(row, PARAMETERS):
        told = ", ".join(missing)
        if len(missing) == len(PARAMETERS):
            yield Refusal("no-vitals", f"no vital signs in the last 4 hours: {told}")
        yield Refusal("vitals-incomplete", f"the set of vital signs of the last 4 hours is not complete: {told}")
