"""NEWS2 as a risk model: points of one set of vital signs, and the response that they call for."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from cds import ALERT, Explanation, Input, Missing, Reading, Reference, Refusal, RiskModel, Score, very_old
from models._points.items import Item, explained, notes_of, person_refusals, total, unanswered, worded_inputs
from models.news2 import equation
from models.news2.inputs import PARAMETERS, News2Row

OUTCOME = "NEWS2"
LOW, SINGLE, MEDIUM, HIGH = "low", "low-medium: 3 in a single parameter", "medium: urgent", "high: emergency"
_SPREAD = timedelta(hours=1)
_NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
_ACVPU = {"A": ALERT, "C": "new confusion", "V": "voice", "P": "pain", "U": "unresponsive"}


class News2(RiskModel):
    id = "news2"
    predictors = News2Row

    def refuse(self, row: News2Row) -> Refusal | None:
        return next(_refusals(row), None)

    def predict(self, row: News2Row) -> Sequence[Score]:
        items = tuple(known(row))
        if len(items) < len(PARAMETERS):
            raise TypeError("a row with a missing parameter was not refused")
        return (Score(OUTCOME, total(items), band=band(items)),)

    def cautions(self, row: News2Row) -> Sequence[str]:
        said = notes_of(row, PARAMETERS)
        if isinstance(row.spo2, Reading) and isinstance(row.scale_2, Missing):
            said.append("oxygen saturation on scale 1: no prescribed target of 88 to 92 % is charted")
        times = [
            answer.when for name in PARAMETERS if isinstance(answer := getattr(row, name), Reading) and answer.when
        ]
        if times and max(times) - min(times) > _SPREAD:
            said.append(f"one set, but measured from {min(times):%H:%M} to {max(times):%H:%M} UTC")
        return [*said, *very_old(row.age)]

    def exclusions(self, row: News2Row) -> Sequence[str]:
        return ("pregnancy",)

    def standing(self, row: News2Row) -> str:
        return f"NEWS2 {band(tuple(known(row)))}"

    def inputs(self, row: News2Row) -> Sequence[Input]:
        return worded_inputs(self, row)

    def explanation(self, row: News2Row) -> Explanation:
        return explained(known(row))

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


def known(row: News2Row) -> Iterator[Item]:
    """The items of the parameters that the row has; all seven in a row that is scored."""
    if isinstance(row.resp_rate, Reading):
        yield equation.rate_item(row.resp_rate.value)
    scale: equation.Scale = 2 if isinstance(row.scale_2, Reading) else 1
    oxygen = isinstance(row.oxygen, Reading) and row.oxygen.value
    if isinstance(row.spo2, Reading) and (scale == 1 or isinstance(row.oxygen, Reading)):
        yield equation.saturation_item(row.spo2.value, scale, oxygen=oxygen)
    if isinstance(row.oxygen, Reading):
        yield equation.oxygen_item(oxygen=row.oxygen.value)
    if isinstance(row.sbp, Reading):
        yield equation.pressure_item(row.sbp.value)
    if isinstance(row.heart_rate, Reading):
        yield equation.pulse_item(row.heart_rate.value)
    if isinstance(row.consciousness, Reading):
        yield equation.level_item(row.consciousness.value, alert=row.consciousness.value == ALERT)
    if isinstance(row.temperature, Reading):
        yield equation.temperature_item(row.temperature.value)


def band(items: Sequence[Item]) -> str:
    """The class of a score, or of the part of it that is known."""
    points = total(items)
    if points >= 7:
        return HIGH
    if points >= 5:
        return MEDIUM
    return SINGLE if any(item.points == 3 for item in items) else LOW


def _refusals(row: News2Row) -> Iterator[Refusal]:
    yield from person_refusals(row, youngest=18)
    if isinstance(row.pregnancy, Reading):
        yield Refusal("pregnancy", "pregnant, or within 12 weeks of delivery: a maternity score is for that")
    if missing := unanswered(row, PARAMETERS):
        told = ", ".join(missing)
        if len(missing) == len(PARAMETERS):
            yield Refusal("no-vitals", f"no vital signs in the last 4 hours: {told}")
        yield Refusal("vitals-incomplete", f"the set of vital signs of the last 4 hours is not complete: {told}")
