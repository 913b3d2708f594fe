"""The PREVENT equations as a risk model: five outcomes within 10 and 30 years, by the richest variant there is."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from cds import (
    Estimate,
    Explanation,
    Input,
    Knob,
    Missing,
    ModelSettings,
    Predictors,
    Reading,
    Reference,
    Refusal,
    RiskModel,
    Slot,
    plain_inputs,
)
from models._heart.explain import knobs, with_changes
from models._heart.words import NAMES, as_input, drug_cautions, missing_text
from models.prevent import explain
from models.prevent.equation import ADDED, Outcome, Variant, risks
from models.prevent.inputs import OPTIONAL, Prevent, PreventAndDeprivation, variant_of
from models.prevent.refusals import OLDEST_FOR_30, RANGES, refusals

OUTCOMES: Mapping[Outcome, str] = {
    "total_cvd": "Total cardiovascular disease",
    "ascvd": "Atherosclerotic cardiovascular disease",
    "heart_failure": "Heart failure",
    "chd": "Coronary heart disease",
    "stroke": "Stroke",
}
_STEPS = {
    "total_cholesterol": 1.0, "hdl_cholesterol": 1.0, "sbp": 1.0, "bmi": 0.1, "egfr": 1.0, "acr": 1.0, "hba1c": 0.1,
}  # fmt: skip


class PreventSettings(ModelSettings):
    """`[models.prevent]` of site.toml: which equations, and whether the site sends social deprivation deciles."""

    variant: Literal["richest"] | Variant = "richest"
    """A chosen one serves whatever the chart has: what it asks and is not known takes its published term."""
    social_deprivation: bool = False


class PreventModel(RiskModel):
    id = "prevent"
    predictors: type[Prevent] = Prevent
    settings_type = PreventSettings
    settings: PreventSettings

    def __init__(self, card: Any, settings: PreventSettings) -> None:
        super().__init__(card, settings)
        if settings.social_deprivation:
            self.predictors = PreventAndDeprivation

    def refuse(self, row: Prevent) -> Refusal | None:
        return next(refusals(row, self._variant(row)), None)

    def predict(self, row: Prevent) -> Sequence[Estimate]:
        who, variant = explain.described(row), self._variant(row)
        found = risks(variant, _horizons(row), OUTCOMES, who)
        return tuple(Estimate(OUTCOMES[outcome], years, number) for outcome, years, number in found)

    def cautions(self, row: Prevent) -> Sequence[str]:
        return tuple(_cautions(row, self._variant(row)))

    @property
    def title(self) -> str:
        """Without the list of variants: which one served stands beside each number."""
        return self.card.short_name

    def standing(self, row: Prevent) -> str:
        return f"PREVENT, {explain.CALLED[self._variant(row)]}"

    def exclusions(self, row: Prevent) -> Sequence[str]:
        return ("atherosclerotic cardiovascular disease", "heart failure", "pregnancy")

    def inputs(self, row: Prevent) -> Sequence[Input]:
        names = [name for name in self.card.inputs if name != "sdi" or self.settings.social_deprivation]
        found = zip(names, plain_inputs(row, names), strict=True)
        return tuple(as_input(name, told, getattr(row, name)) for name, told in found)

    def explanation(self, row: Prevent) -> Explanation:
        return self.explanation_within(row, _horizons(row)[-1])

    def explanation_within(self, row: Prevent, years: int) -> Explanation:
        """Every input's part in the risk of total disease within 10 or within 30 years, which have equations each."""
        return explain.explanation(row, self._variant(row), years)

    def knobs(self, row: Prevent) -> Sequence[Knob]:
        added = ADDED[self._variant(row)]
        return knobs(row, RANGES, {n: step for n, step in _STEPS.items() if n not in OPTIONAL or n in added})

    def with_changes(self, row: Prevent, **values: float) -> Predictors:
        return with_changes(row, self.knobs(row), values)

    def _variant(self, row: Prevent) -> Variant:
        return variant_of(row, self.settings.variant)

    @classmethod
    def reference_row(cls, values: Mapping[str, str]) -> Reference:
        years = int(values["years"])
        expected: dict[float | Slot, float] = {
            (label, years): float(values[outcome]) for outcome, label in OUTCOMES.items()
        }
        return Reference(_reference_row(values), {"variant": values["model"]}, expected)


def _horizons(row: Prevent) -> tuple[int, ...]:
    return (10, 30) if isinstance(row.age, Reading) and row.age.value <= OLDEST_FOR_30 else (10,)


_NOTED = ("total_cholesterol", "hdl_cholesterol", "sbp", "bmi", "egfr", "smoking")


def _cautions(row: Prevent, variant: Variant) -> Iterator[str]:
    used = [name for name in ADDED[variant] if isinstance(getattr(row, name), Reading)]
    yield f"calculated by the PREVENT {explain.CALLED[variant]}{_with(used) if variant == 'full' else ''}"
    for name in ADDED[variant]:
        if name not in used:
            yield f"{NAMES[name]} is not known: the equations have a term for that"
    for name in ("acr", "hba1c", "sdi"):
        answer = getattr(row, name)
        if isinstance(answer, Missing) and answer.why not in ("never recorded", "too old", "not read"):
            yield f"{missing_text(name, answer)} and was not used"
    for name in (*_NOTED, *ADDED[variant]):
        yield from getattr(row, name).notes
    yield from drug_cautions(row, "antihypertensive", "statin")
    yield from _doubts(row)


def _with(used: Sequence[str]) -> str:
    return f" with {' and '.join(NAMES[name] for name in used)}" if used else ""


def _doubts(row: Prevent) -> Iterator[str]:
    total, hdl, hba1c = row.total_cholesterol, row.hdl_cholesterol, row.hba1c
    days = {answer.when.date() for answer in (total, hdl) if isinstance(answer, Reading) and answer.when}
    if len(days) > 1:
        yield "total and HDL cholesterol were measured on different days"
    if isinstance(hba1c, Reading) and hba1c.value >= 6.5 and isinstance(row.diabetes, Missing):
        yield f"HbA1c {hba1c.value:g}% and no diabetes recorded: scored as without diabetes"


_NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
_COLUMNS = {
    "age": "age", "tc": "total_cholesterol", "hdl": "hdl_cholesterol", "sbp": "sbp", "bmi": "bmi", "uacr": "acr",
    "hba1c": "hba1c", "sdi": "sdi",
}  # fmt: skip
_FLAGS = {"dm": "diabetes", "bptx": "antihypertensive", "statin": "statin"}


def _reference_row(values: Mapping[str, str]) -> Prevent:
    given: dict[str, Any] = {name: Reading(float(values[c])) for c, name in _COLUMNS.items() if values[c]}
    given |= {name: Reading(True) for column, name in _FLAGS.items() if values[column] == "1"}
    given["sex"] = Reading(values["sex"])
    given["smoking"] = Reading("current" if values["smoke"] == "1" else "never")
    given["egfr"] = Reading(float(values["egfr"]), method="CKD-EPI 2021")
    return Prevent.given(_NOON, **given)
