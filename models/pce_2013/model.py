"""The Pooled Cohort Equations as a risk model: to compare with, off until a site asks for the comparison."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from cds import (
    Contribution,
    Estimate,
    Explanation,
    Input,
    Latest,
    Missing,
    ModelSettings,
    Race,
    Reading,
    Reference,
    Refusal,
    RiskModel,
    lab_series,
    months,
    plain_inputs,
    spell,
)
from models._heart.explain import contributions, steps
from models._heart.inputs import Heart
from models._heart.words import absent, answer_is, as_input, drug_cautions, drug_refusals, person_refusals
from models.pce_2013 import equation
from models.pce_2013.equation import Predicted, log_hazard, risk

YOUNGEST, OLDEST, HORIZON = 40, 79, 10
RACES: Mapping[str, equation.Race] = {"Black or African American": "black", "White": "white"}
"""The two categories for which there are coefficients; nobody else is counted among them."""
_NEEDED = ("total_cholesterol", "hdl_cholesterol", "sbp", "smoking")
_ORDER = ("age", "total_cholesterol", "hdl_cholesterol", "sbp", "diabetes", "smoking", "antihypertensive")
_HIGH_LDL = 190.0
_NOISE = 1e-9
"""What a conversion from mmol/L may take away from a value that stands on the limit."""


_NO_LDL = frozenset({"never recorded", "too old", "not read"})


class PceSettings(ModelSettings):
    """`[models.pce_2013]` of site.toml. Without `comparator = true` the model is unavailable."""

    comparator: Literal[True]


class PooledCohort(Heart):
    """What the equations ask: race from US Core, the rest as PREVENT asks it, and LDL to see whom they are for."""

    race = Race()
    ldl_cholesterol = Latest(lab_series("ldl_cholesterol", count=10, required=False), within=months(60))


class Pce2013(RiskModel):
    id = "pce-2013"
    predictors = PooledCohort
    settings_type = PceSettings

    def refuse(self, row: PooledCohort) -> Refusal | None:
        return next(_refusals(row), None)

    def predict(self, row: PooledCohort) -> Sequence[Estimate]:
        return (Estimate(self.card.outcome, HORIZON, risk(_described(row))),)

    def cautions(self, row: PooledCohort) -> Sequence[str]:
        return tuple(_cautions(row))

    def exclusions(self, row: PooledCohort) -> Sequence[str]:
        return ("atherosclerotic cardiovascular disease",)

    def inputs(self, row: PooledCohort) -> Sequence[Input]:
        names = tuple(self.card.inputs)
        found = zip(names, plain_inputs(row, names), strict=True)
        return tuple(as_input(name, told, getattr(row, name)) for name, told in found)

    def explanation(self, row: PooledCohort) -> Explanation:
        patient = _described(row)
        reference = Predicted(patient.race, patient.sex, 55, 213, 50, 120, False, False, False)
        person = f"{patient.race.capitalize()} {'woman' if patient.sex == 'female' else 'man'}"
        told = (
            f"a {person} of 55 with total cholesterol 213 mg/dL, HDL cholesterol 50 mg/dL, systolic blood pressure "
            "120 mmHg, no diabetes, no smoking and no treatment: the worked example of the publication"
        )
        return Explanation(told, {float(HORIZON): risk(reference)}, _contributions(reference, patient))

    @classmethod
    def reference_row(cls, values: Mapping[str, str]) -> Reference:
        expected: dict[Any, float] = {float(HORIZON): float(values["percent"]) / 100}
        return Reference(_reference_row(values), {"comparator": True}, expected, tolerance=float(values["tolerance"]))


def _refusals(row: PooledCohort) -> Iterator[Refusal]:
    yield from person_refusals(row, YOUNGEST, OLDEST)
    if isinstance(row.race, Missing):
        yield Refusal("race", f"race is {'not recorded' if row.race.why == 'never recorded' else 'not stated'}")
    elif row.race.value not in RACES:
        yield Refusal("race", f"race {row.race.value}: there are coefficients for Black and for White people only")
    for name in _NEEDED:
        if isinstance(answer := getattr(row, name), Missing):
            yield absent(name, answer)
    if isinstance(row.ldl_cholesterol, Reading) and row.ldl_cholesterol.value >= _HIGH_LDL - _NOISE:
        shown = spell(round(row.ldl_cholesterol.value, 1))
        yield Refusal("ldl-cholesterol", f"LDL cholesterol {shown} mg/dL: the equations are for less than 190 mg/dL")
    yield from drug_refusals(row, "antihypertensive")


def _described(row: PooledCohort) -> Predicted:
    known = {name: getattr(row, name) for name in ("race", "sex", "age", *_NEEDED)}
    if any(isinstance(answer, Missing) for answer in known.values()):
        raise TypeError("a row with a missing input was not refused")
    values: dict[str, Any] = {name: answer.value for name, answer in known.items()}
    values |= {"race": RACES[values["race"]], "smoking": values["smoking"] == "current"}
    return Predicted(**values, diabetes=answer_is(row.diabetes), antihypertensive=answer_is(row.antihypertensive))


def _contributions(reference: Predicted, patient: Predicted) -> tuple[Contribution, ...]:
    return contributions(steps(reference, patient, _ORDER, log_hazard), "log hazard")


def _cautions(row: PooledCohort) -> Iterator[str]:
    yield "for comparison only: PREVENT, which asks no race, comes first"
    total, hdl, ldl = row.total_cholesterol, row.hdl_cholesterol, row.ldl_cholesterol
    room = isinstance(total, Reading) and isinstance(hdl, Reading) and total.value - hdl.value >= _HIGH_LDL
    if isinstance(ldl, Missing) and ldl.why not in _NO_LDL:
        what = f"LDL cholesterol {ldl.shown}".rstrip()
        yield f"{what} cannot be used ({ldl.why}): the equations are not for 190 mg/dL or more"
    elif isinstance(ldl, Missing) and room:
        yield "LDL cholesterol is not known, and may be 190 mg/dL or more, for which the equations are not"
    for name in _NEEDED:
        yield from getattr(row, name).notes
    yield from drug_cautions(row, "antihypertensive")


_NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def _reference_row(values: Mapping[str, str]) -> PooledCohort:
    names = {"age": "age", "tc": "total_cholesterol", "hdl": "hdl_cholesterol", "sbp": "sbp"}
    given: dict[str, Any] = {name: Reading(float(values[column])) for column, name in names.items()}
    flags = {"dm": "diabetes", "treated": "antihypertensive"}
    given |= {name: Reading(True) for column, name in flags.items() if values[column] == "1"}
    given["sex"] = Reading({"F": "female", "M": "male"}[values["sex"]])
    given["race"] = Reading({race: name for name, race in RACES.items()}[values["race"]])  # type: ignore[index]
    given["smoking"] = Reading("current" if values["smoke"] == "1" else "never")
    return PooledCohort.given(_NOON, **given)
