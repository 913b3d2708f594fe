"""Who already has kidney care: a nephrology visit or booking, or preparation for dialysis; no referral alone (D17)."""

import pytest

from cds import Reading
from tests.charts import SCORED, Json, ago, concept, condition, encounter, procedure, resource, risk

NEPHROLOGY = (("http://snomed.info/sct|394589003", "nephrology"),)
"""The published code is unverified: a site switches it on."""
VISIT, PREPARATION = "nephrology visit", "preparation for dialysis"


def visit(start: str, status: str = "finished", member: str = "serviceType") -> Json:
    code = concept("snomed|394589003")
    return encounter("n", "AMB", start, status=status, **{member: code if member == "serviceType" else [code]})


@pytest.mark.parametrize(
    ("record", "care"),
    [
        (visit(ago(180)), VISIT),
        (visit(ago(181)), None),
        (visit(ago(10), member="type"), VISIT),
        (visit(ago(-20), "planned"), VISIT),
        (visit(ago(20), "planned"), None),  # booked, and the day went by
        (visit(ago(10), "cancelled"), None),
        (visit(ago(10), "entered-in-error"), None),
        (resource("ServiceRequest", "snomed|394589003", {"status": "active", "authoredOn": ago(10)}), None),
        (condition("icd10cm|Z49.01", ago(180)), PREPARATION),
        (condition("icd10cm|Z49.01", ago(181)), None),
        (procedure("cpt|90989", ago(10)), PREPARATION),
        (procedure("icd9proc|3927", ago(10)), PREPARATION),
    ],
)
def test_d17_kidney_care_in_place(record: Json, care: str | None) -> None:
    answer = risk(*SCORED, record, local=NEPHROLOGY).row.kidney_care  # type: ignore[attr-defined]
    assert (answer.method if isinstance(answer, Reading) else None) == care


def test_a_visit_is_told_before_preparation() -> None:
    both = (visit(ago(10)), condition("icd10cm|Z49.01", ago(1)))
    assert risk(*SCORED, *both, local=NEPHROLOGY).row.kidney_care.method == VISIT  # type: ignore[attr-defined]


def test_no_code_of_nephrology_is_built_in() -> None:
    assert not isinstance(risk(*SCORED, visit(ago(10))).row.kidney_care, Reading)  # type: ignore[attr-defined]
