"""What Taking means: which prescriptions and statements say that a medication is taken, and that none says "not"."""

import pytest

from cds import MEDICATION_CODES, Missing, Reading, Taking, days
from cds.errors import DataUnavailable
from cds.fhir.chart import Chart
from cds.fhir.codes import Vocabulary
from cds.fhir.identity import Identity
from cds.fhir.prescriptions import UNNAMED
from cds.fhir.resources import read_leniently
from tests.spec.charts import AT, ATC, chart, latest, patient, rows, told

STATIN = Taking("statin")
VOCABULARY = Vocabulary(STATIN.codes)
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"


def taking(*tables: str, feature: Taking = STATIN, unread: tuple[str, ...] = ()) -> str:
    return told(feature.read(chart(*tables, vocabulary=VOCABULARY, unread=unread), AT))


@pytest.mark.feature("Taking")
@pytest.mark.parametrize(
    ("status", "answer"),
    [
        ("active", "True from one"),
        ("on-hold", "not stated"),
        ("unknown", "not stated"),
        ("null", "not stated"),
        ("banana", "not stated"),  # nobody knows what it says, and so not that it is over
        ("completed", "never recorded"),
        ("stopped", "never recorded"),
        ("ended", "never recorded"),
        ("cancelled", "never recorded"),
        ("draft", "never recorded"),
        ("entered-in-error", "never recorded"),
    ],
)
def test_the_status_of_a_prescription(status: str, answer: str) -> None:
    assert taking(f"MedicationRequest | status\none | {status}") == answer


@pytest.mark.feature("Taking")
@pytest.mark.parametrize(
    ("intent", "answer"),
    [
        ("order", "True from one"),
        ("original-order", "True from one"),
        ("reflex-order", "True from one"),
        ("filler-order", "True from one"),
        ("instance-order", "True from one"),
        ("null", "True from one"),
        ("proposal", "never recorded"),
        ("plan", "never recorded"),
        ("option", "never recorded"),
    ],
)
def test_what_somebody_only_thinks_about_is_not_taken(intent: str, answer: str) -> None:
    assert taking(f"MedicationRequest | intent\none | {intent}") == answer


@pytest.mark.feature("Taking")
@pytest.mark.parametrize(
    ("status", "do_not_perform", "answer"),
    [
        ("active", "false", "True from one"),
        ("active", "true", "never recorded"),
        ("on-hold", "true", "never recorded"),
        ("null", "true", "never recorded"),
    ],
)
def test_what_is_asked_not_to_be_given(status: str, do_not_perform: str, answer: str) -> None:
    assert taking(f"MedicationRequest | status | do not perform\none | {status} | {do_not_perform}") == answer


@pytest.mark.feature("Taking")
@pytest.mark.parametrize(
    ("status", "answer"),
    [
        ("active", "True from one"),
        ("on-hold", "not stated"),
        ("unknown", "not stated"),
        ("null", "not stated"),
        ("not-taken", "never recorded"),
        ("stopped", "never recorded"),
        ("completed", "never recorded"),
        ("intended", "never recorded"),
        ("entered-in-error", "never recorded"),
    ],
)
def test_the_status_of_a_statement(status: str, answer: str) -> None:
    assert taking(f"MedicationStatement | status\none | {status}") == answer


@pytest.mark.feature("Taking")
@pytest.mark.parametrize(
    ("refers_to", "answer"),
    [
        ("Medication/atorvastatin", "True from one"),
        ("Medication/atorvastatin/_history/2", "True from one"),
        ("Medication/paracetamol", "never recorded"),
        (f"#m {ATC}|C10AA05", "True from one"),
        (f"#m {ATC}|N02BE01", "never recorded"),
        ("Medication/elsewhere", "not readable"),  # it may be one
        ("#m", "not readable"),
        ("https://other.example/fhir/Medication/atorvastatin", "not readable"),
    ],
)
def test_a_medication_that_is_referred_to(refers_to: str, answer: str) -> None:
    medications = f"Medication | code\natorvastatin | {ATC}|C10AA05\nparacetamol | {ATC}|N02BE01"
    assert taking(medications, f"MedicationRequest | refers to\none | {refers_to}") == answer


@pytest.mark.feature("Taking")
@pytest.mark.parametrize(
    ("status", "authored", "answer"),
    [
        ("active", "2026-09-01", "not readable"),
        ("on-hold", "2026-09-01", "not readable"),
        ("active", "-", "not readable"),
        ("stopped", "2026-09-01", "never recorded"),  # whatever it was
        ("entered-in-error", "2026-09-01", "never recorded"),
        ("active", "2024-09-01", "never recorded"),
    ],
)
def test_a_medication_that_nobody_can_name_may_be_the_one(status: str, authored: str, answer: str) -> None:
    table = f"MedicationRequest | refers to | status | authored\none | Medication/elsewhere | {status} | {authored}"
    assert taking(table) == answer


def test_a_medication_that_nobody_can_name_does_not_hide_one_that_is_named() -> None:
    assert taking("MedicationRequest | refers to\nunnamed | Medication/elsewhere\nnamed |") == "True from named"


@pytest.mark.feature("Taking")
@pytest.mark.parametrize(
    ("authored", "answer"),
    [
        ("2026-11-22T14:02:00Z", "True from one"),
        ("2026-11-22T14:02:01Z", "never recorded"),  # not yet
        ("2025-11-22T14:02:00Z", "True from one"),
        ("2025-11-22T14:01:59Z", "too old"),
        ("2026", "True from one"),
        ("2026-11", "True from one"),
        ("2025-12", "True from one"),
        ("2025-11", "too old"),  # it may have been before the 22nd
        ("2025", "too old"),
        ("2027", "never recorded"),
        ("-", "no date"),
        ("in May", "no date"),
    ],
)
def test_when_it_was_prescribed(authored: str, answer: str) -> None:
    assert taking(f"MedicationRequest | authored\none | {authored}") == answer


@pytest.mark.feature("Taking")
@pytest.mark.parametrize(
    ("dose_until", "dispense_until", "answer"),
    [
        ("2026-11-23", "", "True from one"),
        ("2026-11-22", "", "True from one"),
        ("2026-11", "", "True from one"),  # it may be to the 30th
        ("2026-11-21", "", "never recorded"),
        ("2026-10-01 2026-12-01", "", "True from one"),
        ("2026-10-01 open", "", "True from one"),
        ("soon", "", "True from one"),
        ("", "2026-11-23", "True from one"),
        ("", "2026-11-21", "too old"),  # it may be taken still, but nobody renewed it
        ("2026-11-21", "2026-11-23", "never recorded"),
    ],
)
def test_when_a_prescription_ends(dose_until: str, dispense_until: str, answer: str) -> None:
    table = f"MedicationRequest | dose until | dispense until\none | {dose_until} | {dispense_until}"
    assert taking(table) == answer


@pytest.mark.feature("Taking")
@pytest.mark.parametrize(
    ("dose_from", "answer"),
    [
        ("2026-11-22", "True from one"),  # it may be since this morning
        ("2026-11-23", "never recorded"),  # not yet
        ("2026-12", "never recorded"),
        ("2026-12-01 2026-10-01", "True from one"),  # another dose from the beginning
        ("2026-12-01 open", "True from one"),
        ("soon", "True from one"),
    ],
)
def test_when_a_prescription_begins(dose_from: str, answer: str) -> None:
    assert taking(f"MedicationRequest | dose from\none | {dose_from}") == answer


@pytest.mark.feature("Taking")
@pytest.mark.parametrize(
    ("since", "to", "asserted", "answer"),
    [
        ("2026-10-01", "", "-", "True from one"),
        ("2019-01-01", "", "2026-09-01", "True from one"),  # taken since, and said again
        ("2019-01-01", "", "-", "too old"),
        ("2026-10-01", "2026-11-21", "2026-10-01", "never recorded"),
        ("2026-10-01", "2026-11-22", "2026-10-01", "True from one"),
        ("2026-11-23", "", "2026-11-01", "never recorded"),  # not yet
        ("2026-10-01", "", "2026-11-23", "never recorded"),
        ("", "", "2026-09-01", "True from one"),
        ("", "", "-", "no date"),
    ],
)
def test_when_something_was_stated(since: str, to: str, asserted: str, answer: str) -> None:
    assert taking(f"MedicationStatement | from | to | asserted\none | {since} | {to} | {asserted}") == answer


@pytest.mark.feature("Taking")
@pytest.mark.parametrize(
    ("statement", "answer"),
    [
        ("not-taken | 2026-10-01 | | |", "never recorded"),
        ("stopped | 2026-10-01 | | |", "never recorded"),
        ("completed | 2026-10-01 | | |", "never recorded"),
        ("not-taken | 2026-08-01 | | |", "True from prescribed"),  # prescribed since
        ("stopped | - | 2026-07-01 2026-10-01 | |", "never recorded"),  # begun before, and stopped after
        ("stopped | - | 2026-07-01 2026-08-01 | |", "True from prescribed"),
        ("unknown | 2026-10-01 | | |", "True from prescribed"),
        ("entered-in-error | 2026-10-01 | | |", "True from prescribed"),
        (f"not-taken | 2026-10-01 | | {ATC}|C10AA01 |", "True from prescribed"),  # another statin
        ("not-taken | 2026-11-23 | | |", "True from prescribed"),
        ("not-taken | - | | |", "True from prescribed"),  # nobody knows which was later
        ("not-taken | 2026-10-01 | | | urn:not", "True from prescribed"),  # a modifier that may turn it round
        ("active | 2026-10-01 | | |", "True from stated"),
    ],
)
def test_a_later_statement_that_a_prescription_is_not_taken(statement: str, answer: str) -> None:
    status, asserted, period, medication, modifier = (cell.strip() for cell in f"{statement} ".split(" |"))
    since, _, to = period.partition(" ")
    cells = " | ".join((status, asserted, since, to, medication, modifier))
    stated = f"MedicationStatement | status | asserted | from | to | medication | modifier\nstated | {cells}"
    assert taking("MedicationRequest | authored\nprescribed | 2026-09-01", stated) == answer


@pytest.mark.feature("Taking")
@pytest.mark.parametrize(
    ("unread", "prescribed", "answer"),
    [
        ("medication_statements", "", "not read"),
        ("medication_statements", "active", "True from one"),
        ("medication_statements", "stopped", "not read"),
        ("medication_statements", "on-hold", "not stated"),
        ("conditions", "", "never recorded"),
    ],
)
def test_an_unread_need_is_never_not_taking(unread: str, prescribed: str, answer: str) -> None:
    table = f"MedicationRequest | status\none | {prescribed}" if prescribed else "MedicationRequest | status"
    assert taking(table, unread=(unread,)) == answer


@pytest.mark.parametrize("table", ["MedicationRequest | status", "MedicationStatement | status\none | active"])
def test_prescriptions_that_were_not_read_are_not_none(table: str) -> None:
    with pytest.raises(DataUnavailable) as fault:
        taking(table, unread=("medications",))
    assert fault.value.keys == ("medications",)


def test_statements_that_are_not_asked_for_need_not_be_read() -> None:
    alone = Taking("statin", statements=False)
    assert [need.key for need in alone.needs()] == ["medications"]
    assert taking("MedicationRequest | status", feature=alone, unread=("medication_statements",)) == "never recorded"


@pytest.mark.feature("Taking")
@pytest.mark.parametrize(
    ("first", "second", "answer"),
    [
        ("active | 2026-05-01", "active | 2026-09-01", "True from second"),
        ("active | 2026-05-01", "stopped | 2026-09-01", "True from first"),  # the dose was changed back
        ("active | 2026-05-01", "on-hold | 2026-09-01", "True from first"),
        ("on-hold | 2026-05-01", "active | 2024-09-01", "not stated"),  # the newest says why
        ("on-hold | 2024-05-01", "active | 2025-09-01", "too old"),
    ],
)
def test_of_several_prescriptions_one_that_is_taken_counts(first: str, second: str, answer: str) -> None:
    assert taking(f"MedicationRequest | status | authored\nfirst | {first}\nsecond | {second}") == answer


@pytest.mark.feature("Taking")
@pytest.mark.parametrize(
    ("modifier", "status", "answer"),
    [("urn:not", "active", "modified"), ("urn:not", "stopped", "never recorded"), ("", "active", "True from one")],
)
def test_a_prescription_with_an_unknown_modifier(modifier: str, status: str, answer: str) -> None:
    assert taking(f"MedicationRequest | modifier | status\none | {modifier} | {status}") == answer


def test_a_prescription_that_cannot_be_read_is_not_absent() -> None:
    broken = next(rows("MedicationRequest | status\none | active")) | {"doNotPerform": "false"}
    located = [(read_leniently(one), None) for one in (patient(), broken)]
    assert told(STATIN.read(Chart.of(located, Identity("p"), VOCABULARY), AT)) == "not readable"


def test_a_reading_says_what_and_when_and_whether_it_was_prescribed_or_stated() -> None:
    tables = "MedicationRequest | authored\none | 2026-09", "MedicationStatement | asserted\nother | 2026-08-01"
    answer = STATIN.read(chart(*tables, vocabulary=VOCABULARY), AT)
    assert isinstance(answer, Reading)
    assert (answer.as_sent, answer.method, answer.date) == ("C10AA05", "prescribed", "Sep 2026")
    assert answer.also == ("MedicationStatement/other",)
    held = STATIN.read(chart("MedicationRequest | status\none | on-hold", vocabulary=VOCABULARY), AT)
    assert isinstance(held, Missing)
    assert (held.shown, held.date, held.source) == ("on-hold C10AA05", "1 Sep 2026", "MedicationRequest/one")


def test_the_look_back_is_the_models_own() -> None:
    week = Taking("statin", within=days(7))
    assert latest("MedicationRequest | authored\none | 2026-11-14", week, vocabulary=VOCABULARY) == "too old"


@pytest.mark.feature("Taking")
@pytest.mark.parametrize(
    ("name", "code", "answer"),
    [
        ("statin", f"{ATC}|C10AA05", "True from one"),
        ("statin", f"{RXNORM}|83367", "True from one"),
        ("statin", f"{RXNORM}|C10AA05", "never recorded"),  # the system is half of the code
        ("statin", f"{ATC}|C10AB05", "never recorded"),  # a fibrate
        ("statin", f"{ATC}|C10AX09", "never recorded"),  # ezetimibe
        ("statin", f"urn:local|1 {ATC}|C10AA05", "True from one"),
        ("antihypertensive", f"{ATC}|C09AA03", "True from one"),
        ("antihypertensive", f"{ATC}|C10AA05", "never recorded"),
        ("anticoagulant", f"{ATC}|B01AA03", "True from one"),
        ("anticoagulant", f"{ATC}|B01AF02", "True from one"),
        ("anticoagulant", f"{ATC}|B01AC06", "never recorded"),  # aspirin
        ("anticoagulant", f"{ATC}|B01AD02", "never recorded"),  # alteplase dissolves a clot, once
        ("anticoagulant", f"{ATC}|B01AX05", "True from one"),
        ("vitamin_k_antagonist", f"{ATC}|B01AA03", "True from one"),
        ("vitamin_k_antagonist", f"{ATC}|B01AF02", "never recorded"),
        ("antiplatelet", f"{ATC}|B01AC06", "True from one"),
        ("antiplatelet", f"{ATC}|B01AB05", "never recorded"),
        ("nsaid", f"{ATC}|M01AE01", "True from one"),
        ("nsaid", f"{ATC}|M01AX05", "never recorded"),  # glucosamine
        ("nsaid", f"{ATC}|M02AA15", "never recorded"),  # on the skin
        ("aminoglycoside", f"{ATC}|J01GB03", "True from one"),
        ("aminoglycoside", f"{ATC}|J01CA04", "never recorded"),
        ("iodinated_contrast", f"{ATC}|V08AB05", "True from one"),
        ("iodinated_contrast", f"{ATC}|V08CA02", "never recorded"),  # gadolinium
        ("hormone_therapy", f"{ATC}|G03CA03", "True from one"),
        ("hormone_therapy", f"{ATC}|H03AA01", "never recorded"),  # thyroxine
    ],
)
def test_which_medications_a_set_holds(name: str, code: str, answer: str) -> None:
    feature = Taking(name)
    table = f"MedicationRequest | medication\none | {code}"
    assert latest(table, feature, vocabulary=Vocabulary(feature.codes)) == answer


def test_every_code_says_where_it_is_from() -> None:
    assert all(entry.note for codes in MEDICATION_CODES.values() for entry in codes.entries)
    assert UNNAMED not in MEDICATION_CODES
