"""Records in shapes that hospitals send: none of them may switch a gate off, or date what nobody dated."""

import pytest

from tests.charts import SCORED, Json, ago, condition, creatinine, day, during, encounter, lab, outcome, patient, reason

DIALYSIS = "snomed|105502003"
HEMODIALYSIS = "snomed|302497006"
CLINICAL = "http://terminology.hl7.org/CodeSystem/condition-clinical"


@pytest.mark.parametrize(
    "status",
    [
        {"coding": [{"system": CLINICAL, "code": "active"}]},
        {"coding": [{"system": CLINICAL, "code": "ACTIVE"}]},
        {"text": "Active"},
        {"coding": [{"system": "urn:local", "code": "A"}, {"system": CLINICAL, "code": "active"}]},
        {"coding": [{"system": "urn:local", "code": "A"}]},
    ],
)
def test_a_clinical_status_that_cannot_be_understood_does_not_say_over(status: Json) -> None:
    assert reason(*SCORED, condition(DIALYSIS, day(2400), clinicalStatus=status)) == "dialysis"


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({}, "dialysis"),
        ({"abatementDateTime": day(30)}, "scored"),
        ({"abatementPeriod": {"start": day(40), "end": day(30)}}, "scored"),
        ({"abatementPeriod": {"start": day(40)}}, "dialysis"),  # abating, and not over
        ({"abatementDateTime": day(-30)}, "dialysis"),  # not yet
        ({"abatementDateTime": "2026"}, "dialysis"),  # perhaps not yet
        ({"abatementDateTime": day(30), "clinical": "active"}, "dialysis"),  # the status is what counts
        ({"abatementDateTime": day(30), "clinicalStatus": {"text": "Active"}}, "dialysis"),
        ({"abatementDateTime": day(30), "clinicalStatus": "active"}, "dialysis"),  # cannot be read
    ],
)
def test_a_date_of_abatement_says_over_where_no_status_does(members: Json, expected: str) -> None:
    assert reason(*SCORED, condition(DIALYSIS, day(100), **members)) == expected


def test_a_resolved_status_beside_a_local_code_says_over() -> None:
    status = {"coding": [{"system": "urn:local", "code": "X"}, {"system": CLINICAL, "code": "resolved"}]}
    listed = condition(DIALYSIS, day(2400), category="problem-list-item", clinicalStatus=status)
    assert reason(*SCORED, listed) == "scored"


def test_a_refuted_status_beside_a_local_code_is_refuted() -> None:
    status = {"coding": [{"system": "urn:local", "code": "X"}, {"code": "entered-in-error"}]}
    assert reason(*SCORED, condition(DIALYSIS, day(20), verificationStatus=status)) == "scored"


@pytest.mark.parametrize("member", ["performedDateTime", "occurrenceDateTime"])
def test_a_procedure_is_dated_in_r4_and_in_r5(member: str) -> None:
    procedure = condition(HEMODIALYSIS) | {"resourceType": "Procedure", "status": "completed", member: day(2)}
    assert reason(*SCORED, {k: v for k, v in procedure.items() if k != "onsetDateTime"}) == "dialysis"


def test_an_undated_procedure_has_the_date_of_its_encounter() -> None:
    procedure = condition(HEMODIALYSIS) | {"resourceType": "Procedure", "status": "completed", **during("e")}
    undated = {k: v for k, v in procedure.items() if k != "onsetDateTime"}
    assert reason(*SCORED, undated, encounter("e", "AMB", ago(5))) == "dialysis"
    assert reason(*SCORED, undated, encounter("e", "AMB", ago(500))) == "scored"


@pytest.mark.parametrize(
    "class_",
    [
        {"code": "IMP"},
        {"code": "imp"},
        {"coding": [{"code": "IMP"}]},
        [{"coding": [{"code": "X"}, {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "IMP"}]}],
    ],
)
def test_a_hospital_stay_in_every_shape(class_: object) -> None:
    stay = encounter("e", "IMP", ago(30)) | {"class": class_}
    assert reason(creatinine(2.0, ago(30), **during("e")), SCORED[1], stay) == "egfr-hospital-values-only"


@pytest.mark.parametrize("place", [{"identifier": {"value": "1"}}, {"display": "Ward 3"}, {"reference": "Encounter/e"}])
def test_a_place_that_is_not_known_is_said(place: Json) -> None:
    unclassed = encounter("e", "IMP", ago(30)) | {"class": "inpatient"}
    answer = outcome(creatinine(2.0, ago(30), encounter=place), SCORED[1], unclassed)
    assert any("where the creatinine was taken is not known" in caution for caution in answer.cautions)


@pytest.mark.parametrize(
    "status",
    [
        {"valueCodeableConcept": {"text": "Pregnant"}},
        {"valueString": "pregnant"},
        {"valueCodeableConcept": {"coding": [{"code": "77386006"}]}, "status": "preliminary"},
    ],
)
def test_a_pregnancy_status_that_cannot_be_understood_is_said(status: Json) -> None:
    answer = outcome(*SCORED, lab("82810-3", None, None, ago(10), **status))
    assert any("pregnancy status" in caution for caution in answer.cautions)


def test_a_clear_pregnancy_status_needs_no_words() -> None:
    clear = lab("82810-3", None, None, ago(5), valueCodeableConcept={"coding": [{"code": "60001007"}]})
    vague = lab("82810-3", None, None, ago(10), valueString="pregnant")
    answer = outcome(*SCORED, vague, clear)
    assert not any("pregnancy status" in caution for caution in answer.cautions)


@pytest.mark.parametrize(
    ("died", "text"),
    [
        ({"deceasedDateTime": "2026"}, "deceased 2026"),
        ({"deceasedDateTime": "2026-08"}, "deceased Aug 2026"),
        ({"deceasedDateTime": "2026-08-19"}, "deceased 19 Aug 2026"),
        ({"deceasedDateTime": "2026-08-19T23:30:00-05:00"}, "deceased 19 Aug 2026"),
        ({"deceasedDateTime": "2026-08-19T23:30:00"}, "deceased 19 Aug 2026"),
        ({"deceasedBoolean": True}, "deceased"),
    ],
)
def test_a_date_reads_no_more_precise_than_it_was_written(died: Json, text: str) -> None:
    answer = outcome(*SCORED, who=patient(**died))
    assert answer.text == text  # type: ignore[union-attr]
