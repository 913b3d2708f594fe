"""The demonstration of a trained model: its cohort, its figures, its file made anew, and whom it refuses."""

import csv
import math
import shutil
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from cds import Missing, ModelSettings, NotScored, Reading, Risk
from cds.risk.scoring import score_row
from models.flchain_mortality import train, validation
from models.flchain_mortality.cohort import Cohort, everybody, not_lost, weights, within_reach
from models.flchain_mortality.model import DEMONSTRATION, FlchainMortality, Inputs

FOLDER = Path(train.__file__).parent
AT = datetime(2026, 11, 22, 12, tzinfo=UTC)


@cache
def people() -> Cohort:
    everyone = everybody()
    return everyone.of(within_reach(everyone))


@cache
def model() -> FlchainMortality:
    return FlchainMortality.build(FOLDER, ModelSettings())


def row(**answers: Any) -> Inputs:
    given = {"age": 70, "sex": "male", "creatinine": Reading(1.1, "mg/dL", AT)}
    return Inputs.given(AT, **{**given, **answers})


def risk(**answers: Any) -> Risk:
    outcome = score_row(model(), row(**answers))
    assert isinstance(outcome, Risk)
    return outcome


def lines(name: str, folder: Path = FOLDER) -> list[dict[str, str]]:
    with (folder / name).open(encoding="utf-8") as opened:
        return list(csv.DictReader(opened))


def test_the_cohort_is_counted() -> None:
    everyone = everybody()
    unmeasured = np.isnan(everyone.creatinine)
    assert (len(everyone), int(unmeasured.sum()), int(everyone.dead_by_five_years.sum())) == (7874, 1350, 935)
    assert int(everyone.of(unmeasured).dead_by_five_years.sum()) == 69
    assert int(everyone.of(~unmeasured).dead_by_five_years.sum()) == 866
    assert (len(people()), int(people().dead_by_five_years.sum()), int((~people().known).sum())) == (6469, 829, 151)


def test_losses_are_reckoned_as_by_hand() -> None:
    days = np.array([1, 2, 2, 3, 5, 2000, 2000, 2000.0])
    died = np.array([False, True, False, False, True, False, True, False])
    few = Cohort(days, days, days, days, died)
    _, kept = not_lost(few)
    # 1 of 8 is lost on day 1; on day 2 one dies first, and 1 of the 6 who are left is lost; on day 3, 1 of 5.
    assert kept[:4] == pytest.approx([1, 7 / 8, 7 / 8 * 5 / 6, 7 / 8 * 5 / 6 * 4 / 5])
    after = 1 / (7 / 8 * 5 / 6 * 4 / 5)
    assert weights(few) == pytest.approx([0, 8 / 7, 0, 0, after, after, after, after])
    assert weights(few).sum() == pytest.approx(len(few))


def test_training_again_gives_the_same_model(tmp_path: Path) -> None:
    shutil.copy(FOLDER / "card.yaml", tmp_path)
    train.write(tmp_path, figures=False)
    for name in ("golden.csv", "reference.csv"):
        again, kept = lines(name, tmp_path), lines(name)
        assert len(again) == len(kept) == 48
        for one, other in zip(again, kept, strict=True):
            assert [float(v) if v not in "MF" else v for v in one.values()] == pytest.approx(
                [float(v) if v not in "MF" else v for v in other.values()], abs=1e-12
            )
    made = yaml.safe_load((tmp_path / "card.yaml").read_text(encoding="utf-8"))["artefact"]
    carded = model().artefact
    assert (made["columns"], made["scikit_learn"]) == (list(carded.columns), carded.scikit_learn)
    FlchainMortality.build(tmp_path, ModelSettings()).estimator  # noqa: B018 - opens, and its golden vectors come out


def test_the_card_tells_the_figures_that_come_out() -> None:
    risks = validation.unseen(people(), train.fitted)
    told = model().card.validation
    assert told is not None
    assert [group.group for group in told.groups] == [name for name, _ in validation.groups(people())]
    for group, (_, which) in zip(told.groups, validation.groups(people()), strict=True):
        found = validation.performance(group.group, people().of(which), risks[which], samples=0)
        assert (found["people"], found["events"]) == (group.people, group.events)
        assert group.slope is not None
        for name, (estimate, low, high) in (
            ("discrimination", group.discrimination),
            ("observed_expected", group.observed_expected),
            ("slope", group.slope),
        ):
            assert found[name][0] == pytest.approx(estimate, abs=0.0011)
            assert low <= estimate <= high


@pytest.mark.proof
@pytest.mark.parametrize("band", [(80, 95)])
def test_the_card_tells_the_intervals_that_come_out(band: tuple[int, int]) -> None:
    risks = validation.unseen(people(), train.fitted)
    which = (people().age >= band[0]) & (people().age <= band[1])
    found = validation.performance("", people().of(which), risks[which], samples=validation.SAMPLES)
    told = model().card.validation
    assert told is not None
    assert found["discrimination"] == pytest.approx(told.groups[-1].discrimination, abs=0.0011)
    assert found["observed_expected"] == pytest.approx(told.groups[-1].observed_expected, abs=0.0011)


def test_the_c_statistic_is_a_count_of_pairs() -> None:
    old = people().of(people().age >= 80)
    risks = train.fitted(people()).predict_proba(old.columns)[:, 1]
    weight = weights(old)
    dead, alive = old.dead_by_five_years, old.known & ~old.dead_by_five_years
    apart = risks[dead][:, None] - risks[alive][None, :]
    pairs = weight[dead][:, None] * weight[alive][None, :]
    counted = (pairs * ((apart > 0) + 0.5 * (apart == 0))).sum() / pairs.sum()
    assert validation.figures(old, risks)[0] == pytest.approx(counted, abs=1e-12)


def by_recursion(knots: list[float], x: float) -> list[float]:
    """Cubic B-splines at x by Cox and de Boor, over equally continued knots, as scikit-learn places them."""
    first, last = knots[1] - knots[0], knots[-1] - knots[-2]
    t = [knots[0] - first * i for i in (3, 2, 1)] + knots + [knots[-1] + last * i for i in (1, 2, 3)]

    def basis(i: int, k: int) -> float:
        if k == 0:
            return 1.0 if t[i] <= x < t[i + 1] else 0.0
        left = (x - t[i]) / (t[i + k] - t[i]) * basis(i, k - 1)
        return left + (t[i + k + 1] - x) / (t[i + k + 1] - t[i + 1]) * basis(i + 1, k - 1)

    return [basis(i, 3) for i in range(len(t) - 4)]


def test_reference_rows_follow_from_the_formula_without_the_library() -> None:
    kept = model().estimator._estimator
    scale, regression = kept.named_steps["scale"], kept.named_steps["risk"]
    for line in lines("reference.csv"):
        age, creatinine = float(line["age"]), math.log(float(line["creatinine"]))
        terms = [
            *by_recursion(list(train.AGE_KNOTS), age)[:-1],
            float(line["sex"] == "M"),
            *by_recursion([math.log(k) for k in train.CREATININE_KNOTS], creatinine)[:-1],
        ]
        scaled = [(x - m) / s for x, m, s in zip(terms, scale.mean_, scale.scale_, strict=True)]
        log_odds = sum(b * x for b, x in zip(regression.coef_[0], scaled, strict=True)) + regression.intercept_[0]
        assert 1 / (1 + math.exp(-log_odds)) == pytest.approx(float(line["risk_5y"]), abs=1e-9)


@pytest.mark.parametrize(
    ("answers", "reason", "text"),
    [
        ({"deceased": Reading(True, when=AT, written="3 May 2021")}, "deceased", "deceased 3 May 2021"),
        ({"age": None}, "age", "age: never recorded"),
        ({"age": 49}, "age-out-of-range", "age 49 is outside 50 to 95"),
        ({"age": 96}, "age-out-of-range", "age 96 is outside 50 to 95"),
        ({"sex": Missing("not stated")}, "sex", "sex is not recorded as male or female"),
        ({"creatinine": None}, "creatinine", "creatinine: never recorded"),
        ({"creatinine": Missing("too old", "1.2 mg/dL")}, "creatinine", "creatinine: too old (1.2 mg/dL)"),
        ({"creatinine": 0.59}, "creatinine-out-of-range", "creatinine 0.59 mg/dL is outside 0.6 to 3 mg/dL"),
        ({"creatinine": 3.01}, "creatinine-out-of-range", "creatinine 3.01 mg/dL is outside 0.6 to 3 mg/dL"),
    ],
)
def test_whom_it_refuses(answers: dict[str, Any], reason: str, text: str) -> None:
    outcome = score_row(model(), row(**answers))
    assert isinstance(outcome, NotScored)
    assert (outcome.reason, outcome.text) == (reason, text)


@pytest.mark.parametrize("answers", [{"age": 50}, {"age": 95}, {"creatinine": 0.6}, {"creatinine": 3.0}])
def test_the_edges_are_within(answers: dict[str, Any]) -> None:
    assert 0 < risk(**answers).within(5).probability < 1


def test_every_number_says_that_it_is_a_demonstration() -> None:
    assert DEMONSTRATION in risk().cautions
    assert any("a demonstration, not for care" in caution for caution in model().card.cautions)


def test_contributions_are_the_whole_difference_in_log_odds() -> None:
    told = model().explanation(row())
    assert told is not None
    own, reference = risk().within(5).probability, told.risks[5.0]
    difference = math.log(own / (1 - own)) - math.log(reference / (1 - reference))
    assert sum(one.amount for one in told.contributions) == pytest.approx(difference, abs=1e-12)
    assert [(one.name, one.value, one.reference, one.scale) for one in told.contributions] == [
        ("Age", "70 years", "65 years", "log odds"),
        ("Sex", "male", "female", "log odds"),
        ("Creatinine", "1.1 mg/dL", "0.9 mg/dL", "log odds"),
    ]


def test_the_reference_person_is_moved_by_nothing() -> None:
    told = model().explanation(row(age=65, sex="female", creatinine=0.9))
    assert told is not None
    assert [one.amount for one in told.contributions] == [0.0, 0.0, 0.0]
    assert told.risks[5.0] == risk(age=65, sex="female", creatinine=0.9).within(5).probability
