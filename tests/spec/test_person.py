"""What age, sex and death mean (D2, D3)."""

from typing import Any

import pytest

from cds import Age, Deceased, Missing, Sex
from cds.fhir.chart import Chart
from cds.fhir.codes import Vocabulary
from cds.fhir.identity import Identity
from cds.fhir.resources import read_leniently
from tests.spec.charts import AT, Json, chart, dated, patient, told

URL = "http://hl7.org/fhir/StructureDefinition/patient-sexParameterForClinicalUse"


@pytest.mark.feature("Age")
@pytest.mark.proves("R57", "birthDate whole, YYYY-MM and YYYY, and on 29 February: 16 ages at their boundaries")
@pytest.mark.parametrize(
    ("born", "at", "answer"),
    [
        ("1956-11-22", "2026-11-22T00:00:00Z", "70 a from p"),
        ("1956-11-23", "2026-11-22T23:59:59Z", "69 a from p"),
        ("1956-11", "2026-11-22T14:02:00Z", "not precise enough"),
        ("1956-10", "2026-11-22T14:02:00Z", "70 a from p"),
        ("1956-12", "2026-11-22T14:02:00Z", "69 a from p"),
        ("1956", "2026-11-22T14:02:00Z", "not precise enough"),
        ("1956", "2026-12-31T14:02:00Z", "70 a from p"),
        ("2004-02-29", "2022-02-28T12:00:00Z", "17 a from p"),
        ("2004-02-29", "2022-03-01T12:00:00Z", "18 a from p"),
        ("2004-02-29", "2024-02-28T12:00:00Z", "19 a from p"),
        ("2004-02-29", "2024-02-29T00:00:00Z", "20 a from p"),
        ("2004-02", "2024-02-29T00:00:00Z", "20 a from p"),
        ("2004-02", "2024-02-28T00:00:00Z", "not precise enough"),
        ("1956-13-01", "2026-11-22T00:00:00Z", "never recorded"),
        ("about 1956", "2026-11-22T00:00:00Z", "never recorded"),
        (None, "2026-11-22T00:00:00Z", "never recorded"),
    ],
)
def test_d2_age_is_completed_years_when_every_day_it_may_mean_agrees(born: str | None, at: str, answer: str) -> None:
    assert told(Age().read(chart(birthDate=born), dated(at))) == answer


def parameter(code: str | None, start: str | None = None, end: str | None = None, url: str = URL) -> Json:
    coding = {"coding": [{"system": "urn:any", "code": code}]}
    parts: list[Json] = [{"url": "value", "valueCodeableConcept": coding}] if code else []
    if start or end:
        parts.append({"url": "period", "valuePeriod": {"start": start, "end": end}})
    return {"url": url, "extension": parts}


@pytest.mark.feature("Sex")
@pytest.mark.parametrize(
    ("gender", "answer"),
    [
        ("female", "female from p"),
        ("male", "male from p"),
        ("other", "not stated"),
        ("unknown", "not stated"),
        ("Male", "not stated"),
        ("banana", "not stated"),
        (None, "never recorded"),
    ],
)
def test_d3_sex_is_male_or_female_from_gender(gender: str | None, answer: str) -> None:
    assert told(Sex().read(chart(gender=gender), AT)) == answer


@pytest.mark.feature("Sex")
@pytest.mark.parametrize(
    ("parameters", "answer"),
    [
        ([parameter("male-typical")], "male from p"),
        ([parameter("male")], "male from p"),
        ([parameter("specified")], "not stated"),
        ([parameter("unknown")], "not stated"),
        ([parameter(None)], "not stated"),
        ([parameter("male-typical"), parameter("female-typical")], "not stated"),
        ([parameter("male-typical"), parameter("male")], "male from p"),
        ([parameter("male-typical"), parameter("specified")], "not stated"),
        ([parameter("male-typical", end="2026-11-21")], "female from p"),
        ([parameter("male-typical", end="2026-11-22")], "male from p"),
        ([parameter("male-typical", start="2026-11-23")], "female from p"),
        ([parameter("male-typical", start="2026-11-22T14:02:00Z")], "male from p"),
        ([parameter("female-typical", end="2020"), parameter("male-typical", start="2020-06-01")], "male from p"),
        ([parameter("male-typical", url="urn:other")], "female from p"),
    ],
)
def test_d3_the_sex_parameter_for_clinical_use_wins_in_its_time(parameters: list[Json], answer: str) -> None:
    assert told(Sex().read(chart(gender="female", extension=parameters), AT)) == answer


@pytest.mark.feature("Deceased")
@pytest.mark.parametrize(
    ("members", "answer"),
    [
        ({}, "never recorded"),
        ({"deceasedBoolean": False}, "never recorded"),
        ({"deceasedBoolean": True}, "True from p"),
        ({"deceasedDateTime": "2026-11-21"}, "True from p"),
        ({"deceasedDateTime": "2026-11-22T14:02:00Z"}, "True from p"),
        ({"deceasedDateTime": "2026-11-22T14:02:01Z"}, "never recorded"),
        ({"deceasedDateTime": "2026"}, "True from p"),
        ({"deceasedDateTime": "in May"}, "True from p"),
    ],
)
def test_deceased_by_at(members: dict[str, Any], answer: str) -> None:
    assert told(Deceased().read(chart(**members), AT)) == answer


def unreadable(**members: Any) -> Chart:
    resource = read_leniently(patient(**members))
    assert resource.faults
    return Chart.of([(resource, None)], Identity("p"), Vocabulary(()))


def test_a_patient_member_that_cannot_be_read_is_not_taken_for_absent() -> None:
    assert told(Deceased().read(unreadable(deceasedBoolean="true"), AT)) == "True from p"
    assert told(Sex().read(unreadable(gender="male", extension=[{"url": 1}]), AT)) == "not stated"
    assert isinstance(Age().read(unreadable(birthDate=1956), AT), Missing)
