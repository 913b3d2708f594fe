"""What features ask of a server: prefetch templates, searches and bulk types, derived from one declaration."""

import pytest

from cds import CONDITIONS, Age, CodeSet, Latest, Need, Predictors, lab_series, months
from cds.errors import SiteError
from cds.features.needs import bulk_types, search, template, union
from cds.fhir.codes import Entry, Vocabulary
from tests.spec.charts import AT, LAB_CODES

VOCABULARY = Vocabulary(LAB_CODES.values())
ONE = CodeSet("one", [Entry("loinc", "1-1"), Entry("icd10cm", "N18", "prefix")])
OTHER = CodeSet("other", [Entry("loinc", "2-2")])


class Row(Predictors):
    age = Age()
    creatinine = Latest(lab_series("creatinine"), within=months(12))
    acr = Latest(lab_series("uacr", count=10), within=months(24))


def test_a_row_needs_the_patient_and_each_search_once() -> None:
    assert [need.key for need in Row.needs()] == ["patient", "creatinine", "uacr"]
    assert bulk_types(Row.needs()) == ("Patient", "Observation")


def test_a_row_from_plain_values_knows_only_its_own_columns() -> None:
    row = Row.given(AT, age=70)
    assert (row.age.value, row.acr.why) == (70, "never recorded")  # type: ignore[union-attr]
    with pytest.raises(TypeError, match="weight"):
        Row.given(AT, weight=70)


def test_d18_templates_carry_codes_sort_and_count_and_no_dates() -> None:
    patient, _, urine = Row.needs()
    assert template(patient, VOCABULARY) == "Patient/{{context.patientId}}"
    assert template(CONDITIONS, VOCABULARY) == "Condition?patient={{context.patientId}}"
    codes = ",".join(f"http://loinc.org|{entry.code}" for entry in LAB_CODES["uacr"].entries if entry.match == "exact")
    assert template(urine, VOCABULARY) == (
        f"Observation?patient={{{{context.patientId}}}}&code={codes}&_sort=-date&_count=10"
    )


def test_only_exact_codes_become_tokens() -> None:
    need = Need("n", "Observation", (ONE,), count=5)
    assert search(need, VOCABULARY, "p") == "Observation?patient=p&code=http://loinc.org%7C1-1&_sort=-date&_count=5"


def test_a_patient_id_cannot_add_a_parameter() -> None:
    assert search(CONDITIONS, VOCABULARY, "p&_count=1") == "Condition?patient=p%26_count%3D1"


def test_a_local_code_cannot_add_a_parameter_or_a_token() -> None:
    vocabulary = Vocabulary([OTHER], {("urn:lab", "a&b,c|d e"): "other"})
    asked = search(Need("n", "Observation", (OTHER,)), vocabulary, "p")
    assert asked == "Observation?patient=p&code=http://loinc.org%7C2-2,urn:lab%7Ca%26b%5C%2Cc%5C%7Cd%20e"


def test_one_key_serves_every_feature_that_names_it() -> None:
    narrow = Need("n", "Observation", (ONE,), count=10, required=False)
    wide = Need("n", "Observation", (OTHER, ONE), count=100, series=True)
    assert union([narrow, wide]) == (Need("n", "Observation", (ONE, OTHER), 100, series=True, required=True),)
    assert union([narrow, Need("n", "Observation")]) == (Need("n", "Observation"),)


def test_one_key_cannot_stand_for_two_types() -> None:
    with pytest.raises(SiteError, match="'n' is for Observation and for Condition"):
        union([Need("n", "Observation"), Need("n", "Condition")])
