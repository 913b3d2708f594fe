"""What diagnosed means: which Conditions stand, and what each closed code list holds and leaves out."""

import pytest

from cds import CONDITION_CODES, Reading, diagnosed
from cds.errors import DataUnavailable
from cds.fhir.codes import Vocabulary
from tests.spec.charts import AT, SNOMED, chart, latest

CM, WHO, NINE = (f"http://hl7.org/fhir/sid/{name}" for name in ("icd-10-cm", "icd-10", "icd-9-cm"))
VOCABULARY = Vocabulary(CONDITION_CODES.values())
ACTIVE, EVER = diagnosed("diabetes"), diagnosed("diabetes", active=False)


def said(cells: str) -> str:
    return f"Condition | code | onset | clinical | verification\none | {CM}|E11.9 | {cells}"


@pytest.mark.feature("diagnosed")
@pytest.mark.parametrize(
    ("onset", "clinical", "verification", "active", "ever"),
    [
        ("2020-01-01", "active", "confirmed", "True from one", "True from one"),
        ("2020-01-01", "recurrence", "", "True from one", "True from one"),
        ("2020-01-01", "relapse", "", "True from one", "True from one"),
        ("2020-01-01", "", "", "True from one", "True from one"),
        ("2020-01-01", "banana", "", "True from one", "True from one"),  # it does not say "over"
        ("2020-01-01", "resolved", "confirmed", "never recorded", "True from one"),
        ("2020-01-01", "inactive", "", "never recorded", "True from one"),
        ("2020-01-01", "remission", "", "never recorded", "True from one"),
        ("2020-01-01", "active", "refuted", "never recorded", "never recorded"),
        ("2020-01-01", "active", "entered-in-error", "never recorded", "never recorded"),
        ("2020-01-01", "resolved", "entered-in-error", "never recorded", "never recorded"),
        ("2020-01-01", "active", "provisional", "True from one", "True from one"),
        ("2020-01-01", "active", "differential", "True from one", "True from one"),
        ("", "active", "confirmed", "True from one", "True from one"),  # undated
        ("long ago", "active", "confirmed", "True from one", "True from one"),
        ("2026-11", "active", "confirmed", "True from one", "True from one"),  # it may have begun
        ("2026-11-23", "active", "confirmed", "never recorded", "never recorded"),  # not yet
        ("2027", "resolved", "confirmed", "never recorded", "never recorded"),
    ],
)
def test_which_diagnoses_stand(onset: str, clinical: str, verification: str, active: str, ever: str) -> None:
    table = said(f"{onset} | {clinical} | {verification}")
    assert [latest(table, feature, vocabulary=VOCABULARY) for feature in (ACTIVE, EVER)] == [active, ever]


@pytest.mark.feature("diagnosed")
@pytest.mark.parametrize(
    ("first", "second", "active", "ever"),
    [
        ("2020 | active", "2021 | active", "True from second", "True from second"),
        ("2020 | active", "2021 | resolved", "True from first", "True from second"),
        (" | active", "2010 | active", "True from second", "True from second"),  # dated ones come first
        ("2020 | resolved", "2021 | remission", "never recorded", "True from second"),
    ],
)
def test_of_several_diagnoses_the_newest_that_stands_is_named(first: str, second: str, active: str, ever: str) -> None:
    cells = [f"{name} | {CM}|E11.9 | {line}" for name, line in (("first", first), ("second", second))]
    table = "\n".join(["Condition | code | onset | clinical", *cells])
    assert [latest(table, feature, vocabulary=VOCABULARY) for feature in (ACTIVE, EVER)] == [active, ever]


def test_an_undated_diagnosis_has_no_date() -> None:
    answer = ACTIVE.read(chart(said(" | active |"), vocabulary=VOCABULARY), AT)
    assert isinstance(answer, Reading)
    assert (answer.when, answer.date) == (None, "(no date)")


@pytest.mark.parametrize("feature", [ACTIVE, EVER])
def test_conditions_that_were_not_read_are_not_none(feature: object) -> None:
    with pytest.raises(DataUnavailable) as fault:
        latest(said("2020 | active |"), feature, vocabulary=VOCABULARY, unread=("conditions",))
    assert fault.value.keys == ("conditions",)


def test_a_diagnosis_with_an_unknown_modifier_is_neither_there_nor_absent() -> None:
    with pytest.raises(DataUnavailable, match="modifier"):
        latest(f"Condition | code | modifier\none | {CM}|E11.9 | urn:not", ACTIVE, vocabulary=VOCABULARY)


def test_only_a_condition_is_a_diagnosis() -> None:
    table = f"Procedure | code | performed\none | {CM}|E11.9 | 2020"
    assert latest(table, EVER, vocabulary=VOCABULARY) == "never recorded"


HELD = [
    ("diabetes", f"{CM}|E11.9"),
    ("diabetes", f"{CM}|e1122"),  # hospitals leave out the dot
    ("diabetes", f"{CM}|E08.00"),
    ("diabetes", f"{NINE}|250.00"),
    ("diabetes", f"{SNOMED}|44054006"),
    ("hypertension", f"{CM}|I10"),
    ("hypertension", f"{CM}|I13.10"),
    ("heart_failure", f"{CM}|I50.9"),
    ("heart_failure", f"{CM}|I11.0"),
    ("heart_failure", f"{CM}|I13.2"),
    ("stroke_tia_te", f"{CM}|I63.9"),
    ("stroke_tia_te", f"{CM}|I69.354"),
    ("stroke_tia_te", f"{WHO}|I69.3"),
    ("stroke_tia_te", f"{WHO}|I64"),
    ("stroke_tia_te", f"{WHO}|Z86.7"),
    ("stroke_tia_te", f"{CM}|Z86.73"),
    ("stroke_tia_te", f"{CM}|G45.9"),
    ("stroke_tia_te", f"{CM}|I74.3"),
    ("vascular_disease", f"{CM}|I25.2"),
    ("vascular_disease", f"{CM}|I70.0"),
    ("vascular_disease", f"{CM}|I73.9"),
    ("vascular_disease", f"{SNOMED}|22298006"),
    ("atrial_fibrillation", f"{CM}|I48.91"),
    ("mechanical_valve_or_mitral_stenosis", f"{CM}|I05.0"),
    ("cirrhosis", f"{CM}|K74.60"),
    ("cirrhosis", f"{CM}|K70.30"),
    ("active_cancer", f"{CM}|C50.911"),
    ("active_cancer", f"{CM}|C43.9"),  # melanoma
    ("active_cancer", f"{CM}|C79.51"),
    ("active_cancer", f"{NINE}|174.9"),
    ("ascvd_history", f"{CM}|I20.9"),
    ("ascvd_history", f"{CM}|I25.10"),
    ("ascvd_history", f"{CM}|I69.354"),
    ("venous_thromboembolism", f"{CM}|I26.99"),
    ("venous_thromboembolism", f"{CM}|I82.401"),
    ("venous_thromboembolism", f"{CM}|Z86.711"),
    ("venous_thromboembolism", f"{WHO}|I80.2"),
    ("thrombophilia", f"{CM}|D68.51"),
    ("respiratory_failure", f"{CM}|J96.01"),
    ("myocardial_infarction", f"{CM}|I21.4"),
    ("ischaemic_stroke", f"{CM}|I63.9"),
    ("acute_infection", f"{CM}|J18.9"),
    ("rheumatological", f"{CM}|M05.9"),
    ("bleeding", f"{CM}|K92.2"),
    ("alcohol_misuse", f"{CM}|F10.20"),
]
LEFT_OUT = [
    ("diabetes", f"{CM}|R73.03"),  # prediabetes
    ("diabetes", f"{CM}|O24.410"),  # of pregnancy
    ("diabetes", f"{CM}|E23.2"),  # insipidus
    ("diabetes", f"{CM}|N25.1"),
    ("diabetes", f"{CM}|Z83.3"),  # of the family
    ("diabetes", f"{SNOMED}|15777000"),
    ("diabetes", "urn:local|E11.9"),
    ("hypertension", f"{CM}|R03.0"),
    ("hypertension", f"{CM}|I27.0"),  # of the lungs
    ("hypertension", f"{CM}|O13.9"),
    ("heart_failure", f"{CM}|I11.9"),
    ("heart_failure", f"{CM}|I13.10"),
    ("stroke_tia_te", f"{CM}|G45.4"),  # amnesia
    ("stroke_tia_te", f"{WHO}|G45.4"),
    ("stroke_tia_te", f"{CM}|I61.9"),  # a bleeding
    ("stroke_tia_te", f"{CM}|I69.154"),
    ("stroke_tia_te", f"{CM}|I82.401"),  # venous
    ("stroke_tia_te", f"{CM}|I64"),  # not in this edition
    ("stroke_tia_te", f"{CM}|Z86.711"),
    ("vascular_disease", f"{CM}|I71.4"),
    ("vascular_disease", f"{WHO}|I71.4"),
    ("vascular_disease", f"{CM}|I25.10"),
    ("vascular_disease", f"{CM}|I73.00"),  # Raynaud
    ("atrial_fibrillation", f"{CM}|I49.9"),
    ("mechanical_valve_or_mitral_stenosis", f"{CM}|Z95.3"),  # of an animal
    ("mechanical_valve_or_mitral_stenosis", f"{CM}|I34.0"),  # it leaks
    ("cirrhosis", f"{CM}|K74.00"),  # fibrosis
    ("cirrhosis", f"{CM}|K70.10"),
    ("active_cancer", f"{CM}|C44.91"),  # skin
    ("active_cancer", f"{WHO}|C44.9"),
    ("active_cancer", f"{NINE}|173.9"),
    ("active_cancer", f"{CM}|D05.10"),  # in situ
    ("active_cancer", f"{CM}|Z85.3"),  # a history
    ("ascvd_history", f"{CM}|G45.4"),
    ("ascvd_history", f"{CM}|I71.4"),
    ("venous_thromboembolism", f"{CM}|I80.00"),  # superficial
    ("venous_thromboembolism", f"{WHO}|I80.0"),
    ("venous_thromboembolism", f"{CM}|I82.811"),
    ("venous_thromboembolism", f"{NINE}|453.6"),
    ("venous_thromboembolism", f"{CM}|I74.3"),  # arterial
    ("thrombophilia", f"{CM}|D68.32"),  # bleeds instead
    ("respiratory_failure", f"{CM}|J95.821"),
    ("myocardial_infarction", f"{CM}|I25.2"),  # old
    ("ischaemic_stroke", f"{CM}|I69.354"),  # old
    ("ischaemic_stroke", f"{CM}|G45.9"),
    ("acute_infection", f"{CM}|B18.2"),  # chronic
    ("rheumatological", f"{CM}|M19.90"),
    ("bleeding", f"{CM}|D50.9"),
    ("alcohol_misuse", f"{CM}|F10.21"),  # in remission
    ("alcohol_misuse", f"{CM}|F11.20"),
]


@pytest.mark.feature("diagnosed")
@pytest.mark.parametrize(
    ("name", "code", "answer"),
    [*((*case, "True from one") for case in HELD), *((*case, "never recorded") for case in LEFT_OUT)],
)
def test_what_a_list_holds_and_leaves_out(name: str, code: str, answer: str) -> None:
    assert latest(f"Condition | code\none | {code}", diagnosed(name), vocabulary=VOCABULARY) == answer


def test_every_list_is_tried_both_ways() -> None:
    assert {name for name, _ in HELD} == set(CONDITION_CODES)
    assert {name for name, _ in LEFT_OUT} == set(CONDITION_CODES)


def test_every_code_says_where_it_is_from() -> None:
    assert all(entry.note for codes in CONDITION_CODES.values() for entry in codes.entries)
