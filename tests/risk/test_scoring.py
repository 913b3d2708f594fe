"""The one door for scoring: what leaves it is a probability or a reason, and no patient's value is in an error."""

from collections.abc import Sequence
from datetime import datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from cds import Estimate, NotScored, Reading, Risk
from cds.batch.answers import Rejected, answer
from cds.errors import DataUnavailable, ModelFailed, SiteError
from cds.features.feature import Feature
from cds.fhir.chart import Chart
from cds.risk.model_card import read_card
from cds.risk.scoring import score, score_row
from cds.risk.snapshot import estimates, read_snapshot, replay, snapshot
from models.kfre.inputs import FourVariables
from models.kfre.model import Kfre4, KfreSettings
from tests.charts import AT, SCORED, acr, ago, chart, condition, creatinine, model, outcome, risk

CARD = files("models.kfre") / "card.yaml"


class Answering(Kfre4):
    """Answers what a test wants."""

    answers: Sequence[float] = ()

    def predict(self, row: FourVariables) -> Sequence[Estimate]:
        return [Estimate(self.card.outcome, 2, one) for one in self.answers]


class Talkative(Kfre4):
    """Fails with a patient's value in its words."""

    def predict(self, row: FourVariables) -> Sequence[Estimate]:
        raise ValueError("Mrs Miller, born 1960, creatinine 2.0")


@pytest.mark.parametrize("answers", [(), (float("nan"),), (float("inf"),), (-0.01,), (1.01,), (0.1, float("nan"))])
def test_no_number_leaves_that_is_no_probability(answers: Sequence[float]) -> None:
    wrong = Answering.build(files("models.kfre"), KfreSettings(region="elsewhere"))
    wrong.answers = answers
    with pytest.raises(ModelFailed):
        score_row(wrong, risk(*SCORED).row)


def test_a_failing_model_is_named_and_its_words_are_not_repeated() -> None:
    talkative = Talkative.build(files("models.kfre"), KfreSettings(region="elsewhere"))
    with pytest.raises(ModelFailed) as caught:
        list(score(talkative, [chart(*SCORED)], AT))
    assert str(caught.value) == "kfre-4 failed with ValueError"
    assert caught.value.__cause__ is None


class Unzoned(Feature[Reading[int]]):
    """Dates its answer as no other machine would read it."""

    def read(self, chart: Chart, at: datetime) -> Reading[int]:
        return Reading(1, when=datetime(2026, 1, 1))  # noqa: DTZ001 - what a site's own feature may do


class Unreadable(Feature[Reading[int]]):
    def read(self, chart: Chart, at: datetime) -> Reading[int]:
        raise ValueError("Mrs Miller, born 1960")


@pytest.mark.parametrize(("feature", "kind"), [(Unzoned(), "TypeError"), (Unreadable(), "ValueError")])
def test_a_feature_that_fails_is_its_model_s_failure_and_ends_no_batch(feature: Feature[Any], kind: str) -> None:
    class Row(FourVariables):
        own = feature

    class Own(Kfre4):
        predictors = Row

    own = Own.build(files("models.kfre"), KfreSettings(region="elsewhere"))
    assert answer(own, chart(*SCORED), AT) == Rejected("failed", f"kfre-4 failed with {kind}")
    with pytest.raises(ModelFailed) as caught:
        list(score(own, [chart(*SCORED)], AT))
    assert caught.value.where.startswith(f"{kind} at ")


@pytest.mark.parametrize(
    "key", ["creatinine", "egfr", "uacr", "conditions", "procedures", "encounters", "dialysisLabs"]
)
def test_what_was_not_read_is_not_absent(key: str) -> None:
    with pytest.raises(DataUnavailable) as caught:
        list(score(model(), [chart(*SCORED, unread=[key])], AT))
    assert caught.value.keys == (key,)


def test_one_outcome_a_chart_in_order() -> None:
    charts = [chart(*SCORED), chart(), chart(*SCORED, condition("icd10cm|N18.6"))]
    assert [type(told) for told in score(model(), charts, AT)] == [Risk, NotScored, NotScored]


@pytest.mark.parametrize(
    "told",
    [risk(*SCORED, creatinine(1.8, ago(200))), outcome(), outcome(*SCORED, condition("icd10cm|Z94.0", ago(9)))],
    ids=["risk", "nothing", "transplant"],
)
def test_a_recorded_outcome_replays_and_a_changed_one_is_told(told: Risk | NotScored) -> None:
    kept = read_snapshot(snapshot(told, {}))
    reason = told.reason if isinstance(told, NotScored) else None
    assert replay(kept, model(), estimates(told), reason) is None
    assert replay(kept, model(), [{"horizon": 2, "probability": 0.5}], None) is not None


def test_a_variant_adds_to_the_card_s_mappings_and_replaces_its_words() -> None:
    card = read_card(CARD, name="Another", inputs={"albumin": "in g/dL"})
    assert card.name == "Another"
    assert {"age", "albumin"} <= set(card.inputs)


@pytest.mark.parametrize("text", ["- a list", "name: [", "name: KFRE"])
def test_a_card_that_is_not_whole_stops_the_start(text: str, tmp_path: Path) -> None:
    (tmp_path / "card.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(SiteError, match=r"card\.yaml"):
        read_card(tmp_path / "card.yaml")


@pytest.mark.parametrize("value", ["<20", ">300"])
def test_a_replay_that_lost_its_bound_is_another_answer(value: str) -> None:
    bounded = risk(creatinine(2.9, ago(30)), acr(value, ago(30)))
    kept = read_snapshot(snapshot(bounded, model().recorded_settings))
    recorded = estimates(bounded)
    assert replay(kept, model(), recorded, None) is None
    exact = [{name: told for name, told in one.items() if name != "bound"} for one in recorded]
    difference = replay(kept, model(), exact, None)
    assert difference is not None
    assert recorded[0]["bound"] in difference.replayed
    assert recorded[0]["bound"] not in difference.recorded
