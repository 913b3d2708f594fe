"""What a series of results means: its order, its ties, its codes and its components."""

import json
from typing import Any

import pytest

from cds import CodeSet, Latest, Reading, lab_series, months
from cds.features.feature import Need
from cds.features.results import Series
from cds.fhir.chart import Chart
from cds.fhir.codes import Entry, Vocabulary
from cds.fhir.identity import Identity
from cds.fhir.units import analytes
from tests.spec.charts import AT, LAB_CODES, Json, chart, concept, fhir, latest, patient, told

CREATININE = lab_series("creatinine")


@pytest.mark.feature("Series")
@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("2026-11-02", "2026-11-01"),
        ("2026-11-01T09:00:00+02:00", "2026-11-01T06:59:59Z"),  # instants, not strings
        ("2026-11-01T23:30:00-05:00", "2026-11-02T04:00:00Z"),
        ("2026-11-01", "2026-11-01T23:00:00Z"),  # a partial date stands at its latest instant
        ("2026-11", "2026-11-20"),
        ("2026", "2026-11"),
    ],
)
def test_newest_first_by_instant(first: str, second: str) -> None:
    for one, other in ((first, second), (second, first)):
        names = ("newer", "older") if one == first else ("older", "newer")
        table = f"""
            Observation | effective | value | unit
            {names[0]}  | {one}     | 1     | mg/dL
            {names[1]}  | {other}   | 1     | mg/dL
        """
        assert latest(table, CREATININE) == "newer, older"


def test_ties_go_by_issued_and_then_by_id() -> None:
    table = """
        Observation | effective            | issued               | value | unit
        b           | 2026-11-01T08:00:00Z |                      | 1     | mg/dL
        a           | 2026-11-01T08:00:00Z |                      | 1     | mg/dL
        late        | 2026-11-01T08:00:00Z | 2026-11-01T10:00:00Z | 1     | mg/dL
        early       | 2026-11-01T08:00:00Z | 2026-11-01T11:00:00+02:00 | 1 | mg/dL
        corrected   | 2026-11-01T10:00:00+02:00 | 2026-11-03T10:00:00Z | 1 | mg/dL
    """
    assert latest(table, CREATININE) == "corrected, late, early, b, a"


@pytest.mark.feature("Series")
@pytest.mark.parametrize(
    ("code", "answer"),
    [
        ("2160-0", "1 mg/dL from one"),
        ("urn:local|KREA 2160-0", "1 mg/dL from one"),
        ("2160-0 38483-4", "1 mg/dL from one"),
        ("2161-8", "never recorded"),
        ("http://snomed.info/sct|2160-0", "never recorded"),
        ("urn:local|2160-0", "never recorded"),
    ],
)
def test_any_coding_of_the_right_system_counts_once(code: str, answer: str) -> None:
    table = f"Observation | code | effective | value | unit\none | {code} | 2026-11-01 | 1 | mg/dL"
    assert latest(table, Latest(CREATININE, within=months(12))) == answer
    assert latest(table, CREATININE) == ("one" if answer != "never recorded" else answer)


def local(units: dict[str, str] | None = None) -> Vocabulary:
    return Vocabulary(LAB_CODES.values(), {("urn:lab", "KREA"): "creatinine"}, {("urn:lab", "KREA"): units or {}})


@pytest.mark.feature("Series")
@pytest.mark.parametrize(
    ("code", "unit", "ucum", "answer"),
    [
        ("urn:lab|KREA", "mg/dL", "", "2 mg/dL from one"),
        ("urn:lab|KREA", "mg%", "", "2 mg/dL from one"),
        ("urn:lab|KREA", "", "", "2 mg/dL from one"),
        ("2160-0 urn:lab|KREA", "mg%", "", "2 mg/dL from one"),
        ("urn:lab|KREA", "", "umol/L", "implausible"),  # "" is no unit at all, neither unit nor code
        ("2160-0", "mg%", "", "unit not accepted"),
        ("urn:lab|OTHER", "mg/dL", "", "never recorded"),
    ],
)
def test_d29_a_site_maps_its_own_codes_and_units(code: str, unit: str, ucum: str, answer: str) -> None:
    table = f"Observation | code | effective | value | unit | ucum\none | {code} | 2026-11-01 | 2 | {unit} | {ucum}"
    vocabulary = local({"mg%": "mg/dL", "": "mg/dL"})
    assert latest(table, Latest(CREATININE, within=months(12)), vocabulary=vocabulary) == answer


def test_a_need_asks_for_the_sites_own_codes_too() -> None:
    assert local().tokens(LAB_CODES["creatinine"])[-1] == "urn:lab|KREA"


SYSTOLIC = Series(
    analytes()["creatinine"],  # the analyte does not matter to how components are found
    CodeSet("systolic", [Entry("loinc", "85354-9"), Entry("loinc", "8480-6")]),
    need=Need("systolic", "Observation"),
)


def pressure(**members: Any) -> Json:
    return {
        "resourceType": "Observation", "id": "bp", "status": "final", "effectiveDateTime": "2026-11-01",
        "subject": {"reference": "Patient/p"}, "code": concept("85354-9"), **members,
    }  # fmt: skip


def part(code: str, **members: Any) -> Json:
    return {"code": concept(code), **members}


def values(observation: Json) -> list[object]:
    vocabulary = Vocabulary(SYSTOLIC.codes)
    built = Chart.of([(fhir(patient()), None), (fhir(observation), None)], Identity("p"), vocabulary)
    return [result.value if result.value is not None else result.why for result in SYSTOLIC.read(built, AT).counted]


QUANTITY = {"valueQuantity": {"value": 2, "unit": "mg/dL"}}


def test_a_panels_value_stands_in_its_components() -> None:
    assert values(pressure(component=[part("8480-6", **QUANTITY), part("8462-4", **QUANTITY)])) == [2.0]


def test_a_panel_with_a_value_of_its_own_gives_both() -> None:
    assert values(pressure(component=[part("8480-6", **QUANTITY)], **QUANTITY)) == [2.0, 2.0]


def test_a_panel_without_the_component_has_no_value() -> None:
    assert values(pressure(component=[part("8462-4", **QUANTITY)])) == ["no value"]


def test_a_components_own_absence_and_modifier_are_read() -> None:
    absent = {"dataAbsentReason": concept("any|unknown")}
    modifier = {"modifierExtension": [{"url": "urn:not", "valueBoolean": True}]}
    assert values(pressure(component=[part("8480-6", **absent)])) == ["no value"]
    assert values(pressure(component=[part("8480-6", **QUANTITY, **modifier)])) == ["modified"]


def test_a_panels_status_and_time_hold_for_its_components() -> None:
    assert values(pressure(component=[part("8480-6", **QUANTITY)], status="entered-in-error")) == []


def test_an_integer_is_a_number_without_a_unit() -> None:
    answer = Latest(CREATININE, months(12)).read(chart("Observation | effective | integer\none | 2026-11-01 | 2"), AT)
    assert told(answer) == "unit not accepted"
    assert answer.shown == "2"  # type: ignore[union-attr]


@pytest.mark.parametrize("text", ["1.4 mg/dL", "<1", "1,4", "NaN", "1"])
def test_d9_a_string_is_never_parsed(text: str) -> None:
    table = f"Observation | effective | text\none | 2026-11-01 | {text}"
    assert latest(table, Latest(CREATININE, months(12))) == "no value"


def test_an_answer_is_computed_once_and_is_not_mixed_up_with_another_features() -> None:
    built = chart("Observation | effective | value | unit\none | 2026-11-01 | 2 | mg/dL")
    answers = [told(built.read(Latest(CREATININE, months(n)), AT)) for n in (12, 0) * 50]
    assert set(answers[::2]) == {"2 mg/dL from one"}
    assert set(answers[1::2]) == {"too old"}


def test_a_chart_is_what_was_sent(tmp_path: object) -> None:
    built = chart("Observation | effective | value | unit | comparator\none | 2026-11-01 | 186 | µmol/L |")
    answer = Latest(CREATININE, months(12)).read(built, AT)
    assert isinstance(answer, Reading)
    assert (answer.as_sent, answer.unit) == ("186 µmol/L", "mg/dL")
    assert json.dumps(answer.value) == json.dumps(186 * 0.011312)
