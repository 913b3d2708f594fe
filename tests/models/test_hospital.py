"""The HOSPITAL score against its rows, a second implementation, and the items that are asked for."""

from importlib.resources import files
from random import Random
from typing import Any

import pytest

from cds import Missing, NotScored, Outcome, Risk
from cds.risk.scoring import score_row
from models.hospital.model import Hospital, HospitalRow
from tests.spec.charts import AT

MODEL = Hospital.build(files("models.hospital"), Hospital.settings_type())
USUAL: dict[str, Any] = {
    "age": 70,
    "hemoglobin": 13.0,
    "oncology": False,
    "sodium": 140.0,
    "procedure": False,
    "urgent": False,
    "admissions": 0,
    "length_of_stay": 2,
}


def outcome(**values: Any) -> Outcome:
    return score_row(MODEL, HospitalRow.given(AT, **(USUAL | values)))


def points(**values: Any) -> float:
    scored = outcome(**values)
    assert isinstance(scored, Risk)
    return scored.score().value


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((13, 0, 140, 0, 0, 0, 2), 0),
        ((11.9, 0, 134, 1, 1, 1, 5), 6),
        ((9, 1, 130, 1, 1, 6, 9), 13),
        ((10.5, 0, 138, 0, 1, 5, 6), 6),
    ],
)
def test_the_rows(values: tuple[float, ...], expected: float) -> None:
    assert scored(*values) == expected


def scored(
    hb: float, oncology: float, sodium: float, procedure: float, urgent: float, adm: float, days: float
) -> float:
    return points(
        hemoglobin=float(hb),
        oncology=bool(oncology),
        sodium=float(sodium),
        procedure=bool(procedure),
        urgent=bool(urgent),
        admissions=int(adm),
        length_of_stay=int(days),
    )


def second(hb: float, oncology: int, sodium: float, procedure: int, urgent: int, adm: int, days: int) -> int:
    before = 0 if adm < 2 else 5 if adm > 5 else 2
    return (hb < 12) + 2 * oncology + (sodium < 135) + procedure + urgent + before + 2 * (days > 4)


def test_a_second_implementation_agrees_on_a_thousand_stays() -> None:
    random = Random(11)
    for _ in range(1000):
        given = (
            round(random.uniform(6, 17), 1),
            random.randint(0, 1),
            float(random.randint(120, 150)),
            random.randint(0, 1),
            random.randint(0, 1),
            random.randint(0, 9),
            random.randint(0, 20),
        )
        assert scored(*given) == second(*given)


@pytest.mark.parametrize(
    ("values", "band"),
    [
        ({"admissions": 5, "length_of_stay": 5}, "low"),  # 4
        ({"admissions": 5, "length_of_stay": 5, "urgent": True}, "intermediate"),  # 5
        ({"admissions": 5, "length_of_stay": 5, "oncology": True}, "intermediate"),  # 6
        ({"admissions": 6, "length_of_stay": 5}, "high"),  # 7
    ],
)
def test_bands(values: dict[str, Any], band: str) -> None:
    found = outcome(**values)
    assert isinstance(found, Risk)
    assert found.score().band == band


def test_the_bands_of_2016_keep_their_mark() -> None:
    assert any("UNVERIFIED" in caution for caution in outcome().cautions)
    assert any("bands of earlier admissions of 2016" in said for said in MODEL.card.unverified)
    assert all("UNVERIFIED" in threshold.source for threshold in MODEL.card.thresholds)


@pytest.mark.parametrize(
    ("values", "reason", "text"),
    [
        ({"oncology": None}, "ask", "ask: discharged from an oncology service?"),
        ({"procedure": None}, "ask", "ask: any procedure in this stay?"),
        ({"urgent": None}, "ask", "ask: was this admission urgent?"),
        (
            {"urgent": None, "oncology": None},
            "ask",
            "ask: discharged from an oncology service? was this admission urgent?",
        ),
        ({"hemoglobin": Missing("too old")}, "laboratory", "no usable hemoglobin of this stay (too old)"),
        ({"sodium": None, "urgent": None}, "laboratory", "no usable sodium of this stay (never recorded)"),
        ({"admissions": None}, "admissions", "the admissions before this stay are not known"),
        ({"length_of_stay": None}, "no-inpatient-stay", "no inpatient stay is recorded"),
        ({"age": 17}, "age", "under 18"),
        ({"deceased": True}, "deceased", "deceased"),
    ],
)
def test_what_is_not_known_is_never_assumed(values: dict[str, Any], reason: str, text: str) -> None:
    refused = outcome(**values)
    assert isinstance(refused, NotScored)
    assert (refused.reason, refused.text) == (reason, text)
