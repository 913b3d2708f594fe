"""Acute kidney injury staged by creatinine as KDIGO does, with the baseline rule of NHS England's algorithm."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, get_args

from cds import (
    Chart,
    Contribution,
    Course,
    CoursePoint,
    Explanation,
    Input,
    Missing,
    Reading,
    Reference,
    Refusal,
    RiskModel,
    Score,
    spell,
    unsuited,
)
from models._kidney.acute import EXACT
from models._kidney.told import found_input, missing_input, person_input
from models._kidney.words import creatinine_text
from models.kdigo_aki.inputs import AkiInputs
from models.kdigo_aki.staging import LOWEST, Stage, Unit, aki_stage

OUTCOME = "KDIGO AKI stage"
_NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


class KdigoAki(RiskModel):
    id = "kdigo-aki"
    predictors = AkiInputs

    def refuse(self, row: AkiInputs) -> Refusal | None:
        return next(_refusals(row), None)

    def predict(self, row: AkiInputs) -> Sequence[Score]:
        stage = 3 if isinstance(row.replacement, Reading) else stage_of(row)
        band = f"KDIGO AKI stage {stage}" if stage else "no acute kidney injury by creatinine"
        return (Score(OUTCOME, float(stage), "of 3", band),)

    def cautions(self, row: AkiInputs) -> Sequence[str]:
        return tuple(_cautions(row))

    def exclusions(self, row: AkiInputs) -> Sequence[str]:
        return ("long-term dialysis", "end-stage kidney disease")

    def inputs(self, row: AkiInputs) -> Sequence[Input]:
        return tuple(_inputs(row))

    def explanation(self, row: AkiInputs) -> Explanation:
        return Explanation("", {}, tuple(_contributions(row)))

    def measured(self, chart: Chart, at: datetime) -> Course | None:
        points = tuple(CoursePoint(c.at, c.result.date, c.value) for c in reversed(chart.read(EXACT, at)))
        return Course("Creatinine", "mg/dL", points) if points else None

    @classmethod
    def reference_row(cls, values: Mapping[str, str]) -> Reference | None:
        """A line of reference.csv: a creatinine, its baseline, its rise within 48 hours where one is known."""
        given: dict[str, Any] = {
            "age": Reading(60, "a"),
            "creatinine": Reading(float(values["current"]), "mg/dL", _NOON),
            "baseline": Reading(float(values["baseline"]), "mg/dL", method=LOWEST),
        }
        if values["rise_48h"]:
            given["rise"] = Reading(float(values["rise_48h"]), "mg/dL")
        if values["replacement"]:
            given["replacement"] = Reading(True, when=_NOON)
        return Reference(AkiInputs.given(_NOON, **given), {}, {(OUTCOME, None): float(values["stage"])}, 0.0)


def stage_of(row: AkiInputs) -> Stage:
    """The stage that creatinine alone gives; 0 where it was not compared with anything."""
    if isinstance(row.creatinine, Missing):
        return 0
    baseline = row.baseline.value if isinstance(row.baseline, Reading) else None
    if isinstance(row.rise, Missing):
        return aki_stage(row.creatinine.value, baseline)
    return aki_stage(row.creatinine.value, baseline, row.rise.value, _unit(row.rise.unit))


def _unit(name: str) -> Unit:
    return next(unit for unit in get_args(Unit) if unit == name)


def _refusals(row: AkiInputs) -> Iterator[Refusal]:
    if (person := unsuited(row.deceased, row.age)) is not None:
        yield person
    if isinstance(row.long_term_dialysis, Reading):
        yield Refusal("dialysis", f"long-term dialysis recorded {row.long_term_dialysis.date}")
    if isinstance(row.esrd, Reading):
        yield Refusal("esrd", f"end-stage kidney disease recorded {row.esrd.date}")
    if isinstance(row.replacement, Reading):
        return
    if isinstance(row.creatinine, Missing):
        yield Refusal(f"creatinine-{row.creatinine.why.replace(' ', '-')}", creatinine_text(row.creatinine))
    elif isinstance(row.baseline, Missing) and isinstance(row.rise, Missing):
        yield Refusal("no-baseline", "only one creatinine in 365 days: nothing to compare it with")


def _cautions(row: AkiInputs) -> Iterator[str]:
    yield "urine output was not read: the stage by creatinine alone may be too low"
    yield from row.creatinine.notes
    stage = stage_of(row)
    if isinstance(row.replacement, Reading) and stage < 3:
        yield f"stage 3 because of dialysis on {row.replacement.date}, not by creatinine"
    if isinstance(row.baseline, Reading) and row.baseline.method != LOWEST:
        yield f"no other creatinine within 7 days: compared with the {row.baseline.method}"
    usual, latest = row.usual, row.latest
    if isinstance(usual, Reading) and isinstance(latest, Reading) and not stage and latest.value >= 1.5 * usual.value:
        yield (
            f"the newest creatinine is {latest.value / usual.value:.1f} times the median of days 8 to 365; by the "
            "baseline rule it is compared with the lowest of 7 days"
        )
    if isinstance(row.creatinine, Reading) and row.creatinine.value >= 4.0 and not stage:
        yield "creatinine of 4.0 mg/dL or more without a rise is not acute kidney injury by itself"
    yield from _of_records(row, stage)


def _of_records(row: AkiInputs, stage: int) -> Iterator[str]:
    earlier = row.acute_rise
    if not stage and isinstance(earlier, Reading):
        yield f"creatinine showed acute kidney injury on {earlier.date}"
    if not stage and isinstance(row.aki_diagnosis, Reading):
        yield f"acute kidney injury is recorded {row.aki_diagnosis.date}"
    if isinstance(row.pregnancy, Reading):
        yield "pregnant, or within 12 weeks of delivery: creatinine is normally lower, and a usual value may be a rise"
    if isinstance(row.transplant, Reading):
        yield f"kidney transplant recorded {row.transplant.date}: think of rejection"
    if isinstance(row.unusable_creatinine, Reading):
        found = row.unusable_creatinine
        yield f"a creatinine of {found.date} ({found.as_sent}) could not be read"


def _inputs(row: AkiInputs) -> Iterator[Input]:
    yield person_input("Age", row.age, " years", "the birth date is missing or not precise enough")
    found = row.creatinine
    if isinstance(found, Reading):
        yield found_input("Creatinine", f"{_short(found.value)} mg/dL", found.as_sent, found)
    else:
        yield missing_input("Creatinine", found, creatinine_text(found))
    if isinstance(row.baseline, Reading):
        yield found_input(
            "Baseline creatinine", f"{_short(row.baseline.value)} mg/dL", row.baseline.method, row.baseline
        )
    else:
        yield missing_input("Baseline creatinine", row.baseline, "no other creatinine within 365 days")
    if isinstance(row.rise, Reading):
        unit = "µmol/L" if row.rise.unit == "umol/L" else row.rise.unit
        yield found_input("Rise within 48 hours", f"{_short(row.rise.value)} {unit}", "", row.rise)
    else:
        yield missing_input("Rise within 48 hours", row.rise, "no other creatinine in the 48 hours before")
    done = row.replacement
    if isinstance(done, Reading):
        yield found_input("Dialysis within 7 days", "recorded", "", done)
    else:
        yield Input("Dialysis within 7 days", "not recorded")
    yield Input("Urine output", missing="not read")


def _contributions(row: AkiInputs) -> Iterator[Contribution]:
    """What each criterion gives by itself; the stage is the highest of them, not the sum."""
    dialysis = isinstance(row.replacement, Reading)
    yield _criterion("Dialysis within 7 days", "recorded" if dialysis else "not recorded", "", 3 * dialysis)
    if isinstance(row.creatinine, Missing):
        return
    now = row.creatinine.value
    if isinstance(row.baseline, Reading):
        base = row.baseline
        ratio = f"{now / base.value:.2f} times the {base.method}"
        yield _criterion("Creatinine against its baseline", ratio, "1.5 times", _by_ratio(now, base.value))
    if isinstance(row.rise, Reading):
        unit = _unit(row.rise.unit)
        rose = aki_stage(now, None, row.rise.value, unit) > 0
        yield _criterion("Rise within 48 hours", f"{_short(row.rise.value)} {unit}", "0.3 mg/dL", int(rose))
    high = now >= 4.0 and stage_of(row) > 0
    yield _criterion("Creatinine of 4.0 mg/dL or more, once injured", f"{_short(now)} mg/dL", "4.0 mg/dL", 3 * high)


def _by_ratio(now: float, base: float) -> int:
    """The stage of a ratio alone, as of a creatinine that is far below 4.0."""
    return aki_stage(now / base, 1.0)


def _criterion(name: str, value: str, reference: str, stage: int) -> Contribution:
    return Contribution(name, value, reference, float(stage), "points")


def _short(value: float) -> str:
    return spell(round(value, 2))
