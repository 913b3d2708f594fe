"""A score is no probability, and goes the same ways: through the door, the ledger, the files and the cards."""

from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any

import pytest
from fhir.resources.R4B.riskassessment import RiskAssessment
from pydantic import ValidationError

from cds import Age, Estimate, Number, Predictors, Reading, Reference, Refusal, Risk, RiskModel, Score, Slot, Threshold
from cds.batch.rows import rows
from cds.errors import ModelFailed
from cds.risk.assessment import identifier_of, risk_assessment, shown_number
from cds.risk.conformance import complaints, reference_rows
from cds.risk.model import ModelSettings
from cds.risk.model_card import ModelCard, read_card
from cds.risk.scoring import score_row
from cds.risk.snapshot import estimates, read_snapshot, replay, snapshot

AT = datetime(2026, 1, 1, 12, tzinfo=UTC)
CUT: dict[str, Any] = {"action": "Act", "source": "a guideline"}


class Inputs(Predictors):
    age = Age()


class Decades(RiskModel):
    """A point for each decade, and the probability of an outcome beside it."""

    id = "decades"
    predictors = Inputs
    value: float | None = None
    chance = 0.25
    expected: tuple[tuple[Slot, float], ...] = ((("Decades", None), 6.0), (("Ageing", 10.0), 0.25))

    def refuse(self, row: Inputs) -> Refusal | None:
        return None if isinstance(row.age, Reading) else Refusal("no-age", "no age is known")

    def predict(self, row: Inputs) -> Sequence[Number]:
        assert isinstance(row.age, Reading)
        points = row.age.value // 10 if self.value is None else self.value
        return (Estimate("Ageing", 10.0, self.chance), Score("Decades", points, band="high" if points > 5 else "low"))

    @classmethod
    def reference_row(cls, values: Any) -> Reference | None:
        return Reference(Inputs.given(AT, age=Reading(64, "a")), {}, dict(cls.expected)) if values["age"] else None


def built(**card: Any) -> Decades:
    own = {"outcome": "Ageing", "outcomes": ["Ageing", "Decades"], "horizons_years": [10], "inputs": {"age": "years"}}
    source = read_card(files("models.kfre") / "card.yaml").model_dump() | own | {"thresholds": [], **card}
    model = Decades(ModelCard.model_validate(source), ModelSettings())
    model.folder = files("models.kfre")
    return model


def scored(model: Decades, age: int = 64) -> Risk:
    outcome = score_row(model, Inputs.given(AT, age=Reading(age, "a", source="Observation/a")))
    assert isinstance(outcome, Risk)
    return outcome


def test_a_risk_holds_probabilities_and_scores_by_what_they_are_about() -> None:
    risk = scored(built())
    assert risk.within(10) == Estimate("Ageing", 10.0, 0.25)
    assert risk.score() == risk.score("Decades") == Score("Decades", 6, band="high")
    with pytest.raises(KeyError):
        risk.score("Ageing")
    with pytest.raises(KeyError):
        risk.within(10, "Decades")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_no_score_leaves_that_is_no_number(value: float) -> None:
    broken = built()
    broken.value = value
    with pytest.raises(ModelFailed, match="a score that is no number"):
        scored(broken)


def test_a_score_replays_to_the_last_bit_and_with_its_class() -> None:
    model = built()
    risk = scored(model)
    recorded = estimates(risk)
    assert recorded[1] == {"outcome": "Decades", "value": 6, "unit": "points", "band": "high"}
    snap = read_snapshot(snapshot(risk, {}))
    assert replay(snap, model, recorded, None) is None
    for name, other in (("value", 6.000000000000001), ("band", "low"), ("outcome", "Years"), ("unit", "years")):
        assert replay(snap, model, [recorded[0], {**recorded[1], name: other}], None) is not None


def test_a_row_of_the_file_for_each_number_of_the_card_scored_or_not() -> None:
    model = built()
    found = list(rows("p", model, scored(model), AT, None))
    assert [(row["of"], row["horizon_years"]) for row in found] == [("Ageing", 10.0), ("Decades", 10.0)]
    assert found[0]["probability"] == 0.25


def test_a_score_has_a_row_without_a_horizon() -> None:
    model = built(outcome="Decades", outcomes=[], horizons_years=[])
    [row] = rows("p", model, scored(model), AT, None)
    assert (row["of"], row["horizon_years"], row["value"], row["unit"], row["band"]) == (
        "Decades", None, 6, "points", "high",
    )  # fmt: skip
    assert "probability" not in row


def test_the_assessment_says_a_score_in_words_and_as_no_probability() -> None:
    model = built()
    made = risk_assessment(scored(model), model, patient_id="p")
    RiskAssessment.model_validate(made)
    assert made["prediction"][1] == {
        "outcome": {"text": "Decades"}, "rationale": "6 points", "qualitativeRisk": {"text": "high"},
    }  # fmt: skip


def test_another_score_is_another_assessment() -> None:
    model = built()
    other = scored(model, 74)
    assert identifier_of(scored(model), model, "p") != identifier_of(other, model, "p")


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        (Score("x", 1), "1 point"),
        (Score("x", 0), "0 points"),
        (Score("x", 31.9612, "mL/min"), "32 mL/min"),
        (Score("x", 2.6744), "2.674 points"),
        (Score("x", 2.6712, ""), "2.671"),
        (Score("x", 9.9996, ""), "10"),
        (Score("x", 99.96, ""), "100"),
        (Score("x", 10119.29, ""), "10119"),
        (Score("x", 30_000_000_000.0, ""), "30000000000"),
        (Score("x", 0.00004, ""), "0.00004"),
        (Score("x", -0.25), "-0.25 points"),
        (Score("x", 1.0, ""), "1"),
        (Estimate("x", 5.0, 0.1544), "15.4%"),
    ],
)
def test_a_number_as_a_person_reads_it(number: Number, shown: str) -> None:
    assert shown_number(number) == shown


@pytest.mark.parametrize(
    ("cut", "number", "told"),
    [
        ({"percent": 5, "horizon_years": 5}, Estimate("x", 5.0, 0.05), "not above"),
        ({"percent": 5, "horizon_years": 5}, Estimate("x", 5.0, 0.0501), "above"),
        ({"percent": 5, "horizon_years": 5}, Estimate("x", 5.0, 0.06, "at most"), "unknown"),
        ({"above": 2.67}, Score("x", 2.67), "not above"),
        ({"above": 2.67}, Score("x", 2.68), "above"),
        ({"at_least": 2}, Score("x", 2), "above"),
        ({"at_least": 2}, Score("x", 1, bound="at least"), "unknown"),
    ],
)
def test_a_threshold_says_whether_a_number_crosses_it(cut: dict[str, Any], number: Number, told: str) -> None:
    threshold = Threshold(**CUT, **cut)
    assert threshold.about(number)
    assert threshold.told(number) == told


@pytest.mark.parametrize("cut", [{}, {"percent": 5}, {"above": 1, "at_least": 2}, {"above": 1, "horizon_years": 5}])
def test_a_threshold_is_of_one_kind(cut: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Threshold(**CUT, **cut)


def test_a_wrong_number_of_any_outcome_is_a_complaint() -> None:
    class Wrong(Decades):
        chance = 0.2500001

    model = Wrong(built().card, ModelSettings())
    model.folder = files("models.kfre")
    assert "Ageing within 10 years" in reference_rows(model)[0]


def test_numbers_that_the_card_does_not_announce_are_a_complaint() -> None:
    model = built(outcomes=["Decades"])
    assert any(one.startswith("card_complete:") for one in complaints(model))
