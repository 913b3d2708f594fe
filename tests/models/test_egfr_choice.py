"""Which eGFR is used, and what the earlier ones say about it (D5, D7, D8, D10, D14)."""

import pytest

from cds import Missing, Reading
from models.kfre.model import chronic
from tests.charts import (
    ACTIVE,
    AT,
    SCORED,
    Json,
    acr,
    ago,
    chart,
    condition,
    creatinine,
    during,
    egfr,
    encounter,
    lab,
    model,
    outcome,
    reason,
    risk,
)  # fmt: skip

ACR = acr(100, ago(30))
WARD, CLINIC = encounter("ward", "IMP"), encounter("clinic", "AMB")
COMPUTED = 36.130740284615456
"""CKD-EPI 2021 of 2.0 mg/dL for a man of 66."""


def chosen(*resources: Json) -> str:
    """What eGFR a score uses: value and method, or why there is none."""
    answer = model().predictors.read(chart(*resources), AT).egfr  # type: ignore[attr-defined]
    return answer.why if isinstance(answer, Missing) else f"{answer.value:.4g} {answer.method}"


OWN = "36.13 CKD-EPI 2021"


@pytest.mark.proves(
    "R35", "3 comparators on creatinine and eGFR: not scored; preliminary and in error each by its rule"
)
@pytest.mark.parametrize(
    ("resources", "answer"),
    [
        ([creatinine(2.0, ago(30))], OWN),
        ([creatinine(176.8, ago(30), "umol/L")], OWN),
        ([creatinine(2.0, ago(30)), creatinine(3.0, ago(31))], OWN),
        ([creatinine(2.0, ago(30)), egfr(20, ago(30))], OWN),
        ([creatinine(2.0, ago(30)), egfr(20, ago(29, seconds=1))], OWN),
        ([creatinine(2.0, ago(30)), egfr(20, ago(29))], "20 CKD-EPI 2021, reported"),
        ([creatinine(2.0, ago(30)), egfr(20, ago(1), "62238-1")], OWN),
        ([creatinine(2.0, ago(30)), egfr(20, ago(1), "98980-6")], OWN),
        ([creatinine(2.0, ago(30)), egfr(20, ago(1), "33914-3")], OWN),
        ([egfr(20, ago(1), "98980-6")], "20 CKD-EPI 2021 creatinine and cystatin C, reported"),
        ([egfr(20, ago(1), "62238-1")], "20 reported, equation not stated"),
        ([egfr(20, ago(1), "69405-9")], "20 reported, equation not stated"),
        ([egfr(20, ago(1), "88294-4")], "20 CKD-EPI 2009, reported"),
        ([egfr(20, ago(1), "88294-4"), egfr(30, ago(9), "62238-1")], "30 reported, equation not stated"),
        ([egfr(20, ago(1), "62238-1"), creatinine(2.0, ago(400))], "20 reported, equation not stated"),
        *(([egfr(20, ago(1), code)], "method not accepted") for code in (
            "33914-3", "77147-7", "76633-7", "48642-3", "50044-7", "70969-1", "50210-4", "94677-2")),
        *(([egfr(20, ago(1), code)], "never recorded") for code in ("48643-1", "88293-6", "2164-2")),
        # Twelve calendar months, inclusive.
        ([creatinine(2.0, "2025-11-22T12:00:00Z")], OWN.replace("36.13", "36.36")),
        ([creatinine(2.0, "2025-11-22T11:59:59Z")], "too old"),
        ([creatinine(2.0, "2025-11-22")], "too old"),  # its earliest instant is what counts
        ([creatinine(2.0, ago(-1))], "never recorded"),
        # Hospital values feed the acute injury gate only, whoever computed them.
        *(([encounter("e", c), creatinine(2.0, ago(30), **during("e"))], "hospital values only") for c in (
            "IMP", "ACUTE", "NONAC", "EMER", "OBSENC", "SS")),
        *(([encounter("e", c), creatinine(2.0, ago(30), **during("e"))], OWN) for c in ("AMB", "VR", "HH", "")),
        ([WARD, egfr(20, ago(30), **during("ward"))], "hospital values only"),
        ([WARD, CLINIC, creatinine(3.0, ago(1), **during("ward")), creatinine(2.0, ago(30), **during("clinic"))], OWN),
        ([WARD, creatinine(3.0, ago(1), **during("ward")), egfr(20, ago(30))], "20 CKD-EPI 2021, reported"),
        ([WARD, creatinine(2.0, ago(400), **during("ward"))], "never recorded"),
        # The newest decides, usable or not.
        ([creatinine("<2.0", ago(1)), creatinine(2.0, ago(30))], "comparator"),
        ([creatinine(">2.0", ago(1)), creatinine(2.0, ago(30))], "comparator"),
        ([creatinine(2.0, ago(30)), egfr(">60", ago(1))], "comparator"),
        ([creatinine(20.1, ago(1)), creatinine(2.0, ago(30))], "implausible"),
        ([creatinine(20.0, ago(1))], "2.28 CKD-EPI 2021"),
        ([creatinine(2.0, ago(1), "g/dL"), creatinine(2.0, ago(30))], "unit not accepted"),
        ([lab("2160-0", 2.0, None, ago(1))], "unit not accepted"),
        ([lab("98979-8", 20, "mL/min", ago(1))], "unit not accepted"),
        ([creatinine(None, ago(1), valueString="2.0 mg/dL"), creatinine(2.0, ago(30))], "no value"),
        ([creatinine(3.0, ago(1), status="preliminary"), creatinine(2.0, ago(30))], OWN),
        ([creatinine(3.0, ago(1), status="entered-in-error"), creatinine(2.0, ago(30))], OWN),
        ([creatinine(3.0, ago(1), status="preliminary")], "not final"),
        ([creatinine(3.0, ago(1), effectiveDateTime=None)], "no date"),
    ],
)  # fmt: skip
def test_d5_which_egfr(resources: list[Json], answer: str) -> None:
    assert chosen(*resources) == answer


def test_d5_the_age_is_that_of_the_specimen_s_day() -> None:
    assert chosen(creatinine(2.0, "2026-02-28T12:00:00Z")) == "36.36 CKD-EPI 2021"  # 65, the day before the birthday
    assert chosen(creatinine(2.0, "2026-03-01T12:00:00Z")) == OWN


def test_d5_risk_rests_on_the_unrounded_egfr() -> None:
    row = risk(*SCORED).row
    assert row.egfr.value == COMPUTED  # type: ignore[attr-defined]


@pytest.mark.parametrize(("value", "answer"), [(59.99, "scored"), (60.0, "egfr-60-or-above")])
def test_the_equation_is_for_an_egfr_below_60(value: float, answer: str) -> None:
    assert reason(egfr(value, ago(30)), ACR) == answer


@pytest.mark.parametrize(
    ("resources", "caution"),
    [
        ([creatinine(3.0, ago(1), status="preliminary")], "a newer result (3 mg/dL, 21 Nov 2026) is not final"),
        ([creatinine(0.25, ago(30))], None),
        ([egfr(20, ago(1))], "eGFR CKD-EPI 2021, reported: not computed here"),
    ],
)
def test_what_must_be_said_of_it(resources: list[Json], caution: str | None) -> None:
    cautions = outcome(*resources, *SCORED).cautions
    assert any(caution in said for said in cautions) if caution else True


def test_an_encounter_that_is_not_there_is_said() -> None:
    text = "where the creatinine was taken is not known: its encounter, or its class, is not in the data"
    assert text in risk(creatinine(2.0, ago(30), **during("nowhere")), ACR).cautions
    assert text not in risk(CLINIC, creatinine(2.0, ago(30), **during("clinic")), ACR).cautions


@pytest.mark.parametrize(
    ("resources", "confirmed"),
    [
        ([creatinine(2.0, ago(120))], True),  # 90 days before the one used
        ([creatinine(2.0, ago(119.99))], False),
        ([creatinine(0.9, ago(400))], False),
        ([creatinine(0.9, ago(400)), creatinine(2.0, ago(2000))], True),
        ([egfr(59.9, ago(120), "98979-8")], True),
        ([egfr(59.9, ago(120), "33914-3")], True),  # MDRD may confirm, never score
        ([egfr(59.9, ago(120), "50210-4")], True),
        ([egfr(59.9, ago(120), "48643-1")], False),
        ([egfr("<60", ago(120))], False),
        ([egfr(60, ago(120))], False),
        ([WARD, creatinine(2.0, ago(120), **during("ward"))], False),
        ([condition("icd10cm|N18.32", ago(90), ACTIVE)], True),
        ([condition("icd10cm|N18.32", ago(89), ACTIVE)], False),
        ([condition("icd10cm|N18.32", None, ACTIVE)], True),
        ([condition("icd10cm|N18.32", ago(400))], True),
        ([condition("icd10cm|N18.32", ago(400), "resolved")], False),
        ([condition("icd10cm|N18.32", ago(400), verification="refuted")], False),
        ([condition("icd10cm|N18.2", ago(400), ACTIVE)], False),
        ([condition("icd10cm|N18.9", ago(400), ACTIVE)], False),
        ([condition("icd10cm|E11.22", ago(400), ACTIVE)], False),
        ([condition("snomed|709044004", ago(400), ACTIVE)], False),
        ([condition("snomed|433144002", ago(400), ACTIVE)], True),
        ([condition("icd9cm|5853", ago(400), ACTIVE)], True),
        ([condition("icd10who|N18.5", ago(400), ACTIVE)], True),
        ([], False),
    ],
)
def test_d10_chronic(resources: list[Json], confirmed: bool) -> None:
    scored = risk(*SCORED, *resources)
    assert chronic(scored.row) is confirmed  # type: ignore[arg-type]
    assert ("one eGFR, not yet confirmed chronic" in scored.cautions) is not confirmed


@pytest.mark.parametrize(
    ("values", "fell_from"),
    [
        # The one used is 30 days old; (days, eGFR).
        ([(30, 40), (60, 41), (200, 56)], 56),  # 15 and more, twice
        ([(30, 40), (60, 42.5), (200, 56)], None),  # the one before fell by less
        ([(30, 41.1), (60, 41.2), (200, 55.5)], 55.5),  # a quarter, from G3a to G3b
        ([(30, 30), (60, 30), (200, 40)], None),  # a quarter, both G3b
        ([(30, 29.4), (60, 29.4), (200, 40)], 40),  # a quarter, from G3b to G4
        ([(30, 40), (200, 56)], None),  # nothing confirms it
        ([(30, 40), (30.5, 40), (200, 56)], None),  # nor does the same day
        ([(30, 40), (31, 40), (200, 56)], 56),
        ([(30, 40), (60, 41), (395, 56)], 56),
        ([(30, 40), (60, 41), (396, 56)], None),  # more than twelve months before
        ([(30, 40), (60, 50), (90, 41), (200, 56)], None),  # it had recovered in between
    ],
)
def test_d14_sustained_fall(values: list[tuple[float, float]], fell_from: float | None) -> None:
    row = risk(ACR, *(egfr(value, ago(days)) for days, value in values)).row
    answer = row.sustained_fall  # type: ignore[attr-defined]
    assert (answer.value if isinstance(answer, Reading) else None) == fell_from


def test_d14_another_equation_is_no_fall() -> None:
    before = [egfr(value, ago(days), "33914-3") for days, value in ((60, 41.0), (200, 56.0))]
    assert isinstance(risk(ACR, egfr(40, ago(30)), *before).row.sustained_fall, Missing)  # type: ignore[attr-defined]
