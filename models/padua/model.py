"""The Padua prediction score: points for the risk of venous thromboembolism in medical inpatients."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from cds import (
    ACTIVE,
    CONDITION_CODES,
    CONDITIONS,
    ENCOUNTERS,
    Age,
    Answered,
    BodyMassIndex,
    Chart,
    Deceased,
    Ever,
    Fact,
    Item,
    Missing,
    PointsModel,
    Predictors,
    Reading,
    Reference,
    Refusal,
    Taking,
    asked_item,
    days,
    diagnosed,
    measured_item,
    months,
    recorded_item,
    unsuited,
    within_days,
)

_NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def _active_cancer(chart: Chart, fact: Fact, at: datetime) -> bool:
    """Said to be active, or, where no status says so, of six months."""
    if fact.clinical_status is not None:
        return fact.clinical_status in ACTIVE
    return chart.when(fact) is None or within_days(chart, fact, at, 183)


def _acute(chart: Chart, fact: Fact, at: datetime) -> bool:
    """Of the last 30 days; undated, as long as it is not said to be over."""
    return fact.clinical_status in ACTIVE if chart.when(fact) is None else within_days(chart, fact, at, 30)


def _acutely(*names: str) -> Ever:
    return Ever(*(CONDITION_CODES[name] for name in names), holds=_acute, needs=(CONDITIONS, ENCOUNTERS))


class Inputs(Predictors):
    """Eleven items; reduced mobility and recent trauma or surgery have to be asked."""

    deceased = Deceased()
    age = Age()
    cancer = Ever(CONDITION_CODES["active_cancer"], holds=_active_cancer, needs=(CONDITIONS, ENCOUNTERS))
    thromboembolism = diagnosed("venous_thromboembolism", active=False)
    immobility = Answered("reduced_mobility", within=days(7))
    thrombophilia = diagnosed("thrombophilia", active=False)
    trauma = Answered("trauma_or_surgery_within_a_month", within=days(30))
    heart_failure = diagnosed("heart_failure")
    respiratory_failure = diagnosed("respiratory_failure")
    infarction_or_stroke = _acutely("myocardial_infarction", "ischaemic_stroke")
    infection = _acutely("acute_infection")
    rheumatological = diagnosed("rheumatological")
    bmi = BodyMassIndex(within=months(24))
    hormones = Taking("hormone_therapy")


class Padua(PointsModel):
    """Barbar et al., J Thromb Haemost 2010;8:2450."""

    id = "padua"
    predictors = Inputs

    def gate(self, row: Inputs) -> Refusal | None:
        return unsuited(row.deceased, row.age)

    def items(self, row: Inputs) -> Sequence[Item]:
        return (
            recorded_item("Active cancer", row.cancer, 3),
            recorded_item("Previous venous thromboembolism", row.thromboembolism, 3),
            asked_item("reduced mobility (bed rest for 3 days or more)", row.immobility, 3),
            recorded_item("Thrombophilia", row.thrombophilia, 3),
            asked_item("trauma or surgery within a month", row.trauma, 2),
            measured_item("Age 70 or more", row.age, lambda years: int(years >= 70), "{} years".format),
            recorded_item("Heart or respiratory failure", _either(row.heart_failure, row.respiratory_failure), 1),
            recorded_item("Acute myocardial infarction or ischaemic stroke", row.infarction_or_stroke, 1),
            recorded_item(
                "Acute infection or rheumatological disorder", _either(row.infection, row.rheumatological), 1
            ),
            measured_item("body mass index", row.bmi, lambda bmi: int(bmi >= 30), "{:.3g} kg/m²".format),
            recorded_item("Ongoing hormonal treatment", row.hormones, 1),
        )

    def band(self, row: Inputs, points: int) -> str:
        return "high" if points >= 4 else "low"

    @classmethod
    def reference_row(cls, values: Mapping[str, str]) -> Reference | None:
        given: dict[str, Any] = {name: Reading(True) for column, name in _COLUMNS.items() if values[column] == "1"}
        row = cls.predictors.given(
            _NOON,
            age=Reading(int(values["age"]), "a"),
            immobility=Reading(values["immobility"] == "1"),
            trauma=Reading(values["trauma"] == "1"),
            bmi=Reading(float(values["bmi"]), "kg/m2"),
            **given,
        )
        return Reference(row, {}, {("Padua", None): float(values["points"])})


_COLUMNS = {
    "cancer": "cancer",
    "vte": "thromboembolism",
    "thrombophilia": "thrombophilia",
    "heart_respiratory": "heart_failure",
    "infarction_stroke": "infarction_or_stroke",
    "infection_rheumatic": "infection",
    "hormones": "hormones",
}


def _either(one: Reading[bool] | Missing, other: Reading[bool] | Missing) -> Reading[bool] | Missing:
    return one if isinstance(one, Reading) else other
