"""What race means: categories of the US Core extension as stated, and nothing in their place."""

import pytest

from cds import Race
from cds.fhir.chart import Chart
from cds.fhir.codes import Vocabulary
from cds.fhir.identity import Identity
from cds.fhir.resources import read_leniently
from tests.spec.charts import AT, Json, chart, patient, told

URL = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-race"
CDC = "urn:oid:2.16.840.1.113883.6.238"
NULL = "http://terminology.hl7.org/CodeSystem/v3-NullFlavor"
WHITE, BLACK, ASIAN = "2106-3", "2054-5", "2028-9"


def race(*categories: str, url: str = URL, system: str = CDC, part: str = "ombCategory") -> Json:
    parts: list[Json] = [{"url": part, "valueCoding": {"system": system, "code": code}} for code in categories]
    return {"url": url, "extension": [*parts, {"url": "text", "valueString": "White"}]}


@pytest.mark.feature("Race")
@pytest.mark.parametrize(
    ("extensions", "answer"),
    [
        ([race(WHITE)], "White from p"),
        ([race(BLACK)], "Black or African American from p"),
        ([race(ASIAN)], "Asian from p"),
        ([race("1002-5")], "American Indian or Alaska Native from p"),
        ([race("2076-8")], "Native Hawaiian or Other Pacific Islander from p"),
        ([race(WHITE, WHITE)], "White from p"),
        ([race(WHITE, BLACK)], "Black or African American and White from p"),
        ([race(WHITE), race(ASIAN)], "Asian and White from p"),
        ([race("2131-1")], "not stated"),  # other
        ([race("2135-2")], "not stated"),  # an ethnicity
        ([race(WHITE, "2131-1")], "not stated"),
        ([race("UNK", system=NULL)], "not stated"),
        ([race(WHITE, system="urn:other")], "not stated"),
        ([race(WHITE, part="detailed")], "not stated"),
        ([race()], "not stated"),  # only its text
        ([{"url": URL}], "not stated"),
        ([{"url": URL, "extension": [{"url": "ombCategory"}]}], "not stated"),
        ([race(WHITE, url="http://hl7.org/fhir/us/core/StructureDefinition/us-core-ethnicity")], "never recorded"),
        ([], "never recorded"),
    ],
)
def test_race_is_what_the_us_core_extension_states(extensions: list[Json], answer: str) -> None:
    assert told(Race().read(chart(extension=extensions), AT)) == answer


def test_an_extension_that_cannot_be_read_is_no_race() -> None:
    resource = read_leniently(patient(extension=[race(WHITE), {"url": 1}]))
    assert resource.faults
    unreadable = Chart.of([(resource, None)], Identity("p"), Vocabulary(()))
    assert told(Race().read(unreadable, AT)) == "never recorded"
