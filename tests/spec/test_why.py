"""Every reason for which a feature has no value, once: the list is closed, and nothing on it is unused."""

from typing import Any, get_args

import pytest

from cds import Age, CodeSet, Ever, Latest, Missing, Sex, lab_series, months
from cds.features.feature import Why
from cds.fhir.chart import Chart
from cds.fhir.codes import Vocabulary
from cds.fhir.identity import Identity
from cds.fhir.resources import read_leniently
from models.kfre.inputs import FourVariables
from tests.spec.charts import AT, LAB_CODES, chart, patient, rows

CREATININE = Latest(lab_series("creatinine"), within=months(12))
PCR = Latest(lab_series("upcr", count=10, required=False), within=months(12))
EGFR, ACR = FourVariables.features()["egfr"], FourVariables.features()["acr"]
HOSPITAL = "Encounter | class\nstay | IMP"


def one(**cells: str) -> str:
    columns = {"effective": "2026-11-01", "value": "1.4", "unit": "mg/dL"} | cells
    return f"Observation | {' | '.join(columns)}\none | {' | '.join(columns.values())}"


def unreadable() -> Chart:
    broken = next(rows(one())) | {"valueQuantity": "1.4 mg/dL"}
    located = [(read_leniently(resource), None) for resource in (patient(), broken)]
    return Chart.of(located, Identity("p"), Vocabulary(LAB_CODES.values()))


def other_test() -> Chart:
    """A creatinine that is also coded as one taken after dialysis."""
    coding = [{"system": "http://loinc.org", "code": code} for code in ("2160-0", "11041-1")]
    located = [
        (read_leniently({"resourceType": "Patient", "id": "p"}), None),
        (
            read_leniently(
                {
                    "resourceType": "Observation",
                    "id": "o",
                    "status": "final",
                    "code": {"coding": coding},
                    "subject": {"reference": "Patient/p"},
                    "effectiveDateTime": "2026-11-01",
                    "valueQuantity": {"value": 2, "unit": "mg/dL"},
                }
            ),
            None,
        ),
    ]
    return Chart.of(located, Identity("p"), Vocabulary(LAB_CODES.values()))


CASES: dict[Why, tuple[Any, Chart]] = {
    "never recorded": (CREATININE, chart()),
    "too old": (CREATININE, chart(one(effective="2025-11-01"))),
    "unit not accepted": (CREATININE, chart(one(unit="mg"))),
    "implausible": (CREATININE, chart(one(value="140"))),
    "comparator": (CREATININE, chart(one(comparator="<"))),
    "not final": (CREATININE, chart(one(status="preliminary"))),
    "no value": (CREATININE, chart(one(value="", unit="", text="1.4 mg/dL"))),
    "no date": (CREATININE, chart(one(effective=""))),
    "modified": (CREATININE, chart(one(modifier="urn:not"))),
    "not readable": (CREATININE, unreadable()),
    "not calculable": (ACR, chart(one(code="9318-7", value="0", unit="mg/g"))),
    "hospital values only": (EGFR, chart(one(encounter="Encounter/stay"), HOSPITAL, birthDate="1956", gender="male")),
    "method not accepted": (EGFR, chart(one(code="33914-3", value="45", unit="mL/min/{1.73_m2}"))),
    "other test": (CREATININE, other_test()),
    "not stated": (Sex(), chart(gender="other")),
    "not precise enough": (Age(), chart(birthDate="1956")),
    "not read": (PCR, chart(unread=("upcr",))),
}


@pytest.mark.parametrize("why", get_args(Why))
def test_every_reason_is_given_where_it_is_meant(why: Why) -> None:
    feature, built = CASES[why]
    answer = feature.read(built, AT)
    assert isinstance(answer, Missing)
    assert answer.why == why


def test_what_was_never_recorded_has_no_source() -> None:
    assert Ever(CodeSet("none", ()), needs=()).read(chart(), AT) == Missing("never recorded")


def test_a_missing_value_shows_what_stood_there_and_when() -> None:
    answer = CREATININE.read(chart(one(comparator=">", value="20")), AT)
    assert isinstance(answer, Missing)
    assert (answer.shown, answer.date, answer.source) == (">20 mg/dL", "1 Nov 2026", "Observation/one")
