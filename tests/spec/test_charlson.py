"""What the Charlson groups of a chart mean: which diagnoses count, and that degrees of one thing count once."""

import pytest

from cds import CHARLSON_CODES, CONDITION_CODES, Charlson
from cds.errors import DataUnavailable
from cds.fhir.codes import Vocabulary
from tests.spec.charts import AT, SNOMED, chart, latest

VOCABULARY = Vocabulary(CHARLSON_CODES.values())
WEIGHTS = {"diabetes_uncomplicated": 1, "diabetes_complicated": 2, "tumour": 2, "metastatic": 6, "dementia": 3}
CHARLSON = Charlson(WEIGHTS, (("diabetes_uncomplicated", "diabetes_complicated"), ("tumour", "metastatic")))
CM, WHO = "http://hl7.org/fhir/sid/icd-10-cm", "http://hl7.org/fhir/sid/icd-10"
NINE = "http://hl7.org/fhir/sid/icd-9-cm"


def said(*lines: str) -> str:
    return "\n".join(["Condition | code | onset | clinical | verification", *lines])


@pytest.mark.feature("Charlson")
@pytest.mark.parametrize(
    ("lines", "answer"),
    [
        ((), "0 from"),
        ((f"dm | {CM}|E11.9 | 2020 | |",), "1 from dm"),
        ((f"dm | {CM}|E1122 | 2020 | |",), "2 from dm"),
        ((f"a | {CM}|E11.9 | 2020 | |", f"b | {CM}|E11.22 | 2020 | |"), "2 from b"),
        ((f"a | {SNOMED}|44054006 | 2020 | |", f"b | {SNOMED}|44054006 | 2021 | |"), "1 from a"),
        ((f"a | {NINE}|250.00 | 2010 | |",), "1 from a"),
        ((f"a | {CM}|G30.9 | 2020 | |", f"b | {CM}|E11.9 | 2020 | |"), "4 from b"),
        ((f"a | {CM}|C50.911 | 2020 | active |",), "2 from a"),
        ((f"a | {CM}|C50.911 | 2020 | resolved |",), "0 from"),
        ((f"a | {CM}|C50.911 | 2020 | |", f"b | {CM}|C78.7 | 2021 | |"), "6 from b"),
        ((f"a | {CM}|C44.91 | 2020 | |",), "0 from"),  # skin
        ((f"a | {CM}|G30.9 | 2020 | resolved |",), "3 from a"),  # whenever it was
        ((f"a | {CM}|G30.9 | 2020 | | refuted",), "0 from"),
        ((f"a | {CM}|G30.9 | 2027 | |",), "0 from"),
        ((f"a | {CM}|R73.03 | 2020 | |",), "0 from"),
    ],
)
def test_which_groups_count(lines: tuple[str, ...], answer: str) -> None:
    assert latest(said(*lines), CHARLSON, vocabulary=VOCABULARY) == answer


ALL = Charlson(dict.fromkeys(CHARLSON_CODES, 1), ())


@pytest.mark.parametrize(
    ("code", "group"),
    [
        ("84114007", "heart failure"),
        ("42343007", "heart failure"),
        ("13645005", "copd"),
        ("73211009", "diabetes uncomplicated"),
        ("46635009", "diabetes uncomplicated"),
        ("52448006", "dementia"),
        ("19943007", "mild liver"),
        ("22298006", "myocardial infarction"),
        ("69896004", "connective tissue"),
        ("266257000", "cerebrovascular"),
        ("433146000", "severe renal"),
        ("62479008", "aids"),
        ("399957001", "peripheral vascular"),
    ],
)
def test_a_snomed_code_of_a_group_is_read(code: str, group: str) -> None:
    answer = ALL.read(chart(said(f"a | {SNOMED}|{code} | 2020 | active |"), vocabulary=VOCABULARY), AT)
    assert f"{group} 1" in answer.method


@pytest.mark.parametrize("name", ["heart_failure", "active_cancer", "cirrhosis", "rheumatological", "diabetes"])
def test_what_the_diagnoses_know_charlson_knows(name: str) -> None:
    """One SNOMED CT code must not be heart failure for one model and nothing for another."""
    known = [entry.code for entry in CONDITION_CODES[name].entries if entry.system == "snomed"]
    assert [c for c in known if not any(group.holds("snomed", c) for group in CHARLSON_CODES.values())] == []


@pytest.mark.parametrize("code", [f"{CM}|G45.4", f"{WHO}|G45.4", f"{CM}|Z95.810"])
def test_neither_amnesia_nor_a_defibrillator_is_a_vascular_disease(code: str) -> None:
    assert latest(said(f"a | {code} | 2020 | |"), ALL, vocabulary=VOCABULARY) == "0 from"


def test_the_groups_are_named_with_their_weights() -> None:
    answer = CHARLSON.read(chart(said(f"a | {CM}|G30.9 | | |", f"b | {CM}|E11.22 | | |"), vocabulary=VOCABULARY), AT)
    assert answer.method == "diabetes complicated 2, dementia 3"
    assert (answer.source, answer.also) == ("Condition/b", ("Condition/a",))


def test_conditions_that_were_not_read_are_not_none() -> None:
    with pytest.raises(DataUnavailable):
        latest(said(), CHARLSON, vocabulary=VOCABULARY, unread=("conditions",))


def test_every_code_says_where_it_is_from() -> None:
    assert all(entry.note for codes in CHARLSON_CODES.values() for entry in codes.entries)
