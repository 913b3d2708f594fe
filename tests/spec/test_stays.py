"""What a hospital stay means: which Encounters are one, which is the index stay, and what a discharge score asks."""

import pytest

from cds import (
    STAY_CODES,
    AcuteAdmission,
    Admissions,
    EmergencyVisits,
    FromService,
    LastOfStay,
    LengthOfStay,
    Missing,
    ProcedureInStay,
    days,
    lab_series,
)
from cds.errors import DataUnavailable
from cds.fhir.chart import Chart
from cds.fhir.codes import Vocabulary
from cds.fhir.identity import Identity
from tests.spec.charts import (
    ACT_PRIORITY,
    ADMIT_SOURCE,
    AT,
    LAB_CODES,
    Json,
    chart,
    dated,
    fhir,
    latest,
    patient,
    rows,
    told,
)

VOCABULARY = Vocabulary([*LAB_CODES.values(), *STAY_CODES.values()])
LENGTH, ACUTE = LengthOfStay(), AcuteAdmission()
VISITS, ADMITTED = EmergencyVisits(days(180)), Admissions(days(365))
ONCOLOGY = FromService(STAY_CODES["oncology_service"], STAY_CODES["other_service"])
SERVICES = "http://mimic.mit.edu/fhir/mimic/CodeSystem/mimic-services"
EMD = {"coding": [{"system": ADMIT_SOURCE, "code": "emd"}]}
PCS = "http://www.cms.gov/Medicare/Coding/ICD10"
NOW = "Encounter | class | status | begin | end"


def stay(*lines: str) -> str:
    return "\n".join([NOW, *lines])


@pytest.mark.feature("LengthOfStay")
@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("now | IMP | in-progress | 2026-11-22T08:00:00Z |", "0 d from now"),
        ("now | IMP | in-progress | 2026-11-21T23:59:00Z |", "1 d from now"),  # midnights, not hours
        ("now | IMP | in-progress | 2026-11-15 |", "7 d from now"),
        ("now | ACUTE | in-progress | 2026-11-20T08:00:00Z |", "2 d from now"),
        ("now | IMP | finished | 2026-11-18T22:00:00-05:00 | 2026-11-22T09:00:00-05:00", "4 d from now"),
        ("now | IMP | finished | 2026-11-18T22:00:00Z | 2026-11-22T23:00:00Z", "4 d from now"),  # it ends later today
        ("now | IMP | finished | 2026-11-18T22:00:00Z | 2026-11-21T15:00:00Z", "3 d from now"),
        ("now | IMP | finished | 2026-11-18T22:00:00Z | 2026-11-21T14:00:00Z", "never recorded"),  # over a day ago
        ("now | IMP | finished | 2026-11-18T22:00:00Z |", "never recorded"),  # nobody knows when it ended
        ("now | IMP | finished | 2026-11 | 2026-11-22T09:00:00Z", "not precise enough"),
        ("now | IMP | in-progress | 2026-11-22T15:00:00Z |", "never recorded"),  # not yet
        ("now | IMP | planned | 2026-11-20T08:00:00Z |", "never recorded"),
        ("now | IMP | cancelled | 2026-11-20T08:00:00Z |", "never recorded"),
        ("now | IMP | entered-in-error | 2026-11-20T08:00:00Z |", "never recorded"),
        ("now | AMB | in-progress | 2026-11-20T08:00:00Z |", "never recorded"),
        ("now | EMER | in-progress | 2026-11-20T08:00:00Z |", "never recorded"),
        ("now | OBSENC | in-progress | 2026-11-20T08:00:00Z |", "never recorded"),
    ],
)
def test_length_of_stay(line: str, answer: str) -> None:
    assert latest(stay(line), LENGTH, vocabulary=VOCABULARY) == answer


def test_a_stay_that_nobody_closed_does_not_stand_before_yesterdays_discharge() -> None:
    old = "old | IMP | in-progress | 2024-01-01T08:00:00Z |"
    new = "new | IMP | finished | 2026-11-20T08:00:00Z | 2026-11-22T08:00:00Z"
    assert latest(stay(old, new), LENGTH, vocabulary=VOCABULARY) == "2 d from new"
    answer = LENGTH.read(chart(stay(old), vocabulary=VOCABULARY), AT)
    assert "check that it was closed" in " ".join(answer.notes)


PIECES = """
Encounter | class | status      | begin                | end                  | part of
ed        | EMER  | finished    | 2026-11-19T19:00:00Z | 2026-11-19T23:30:00Z | whole
whole     | EMER  | in-progress | 2026-11-20T01:00:00Z |                      |
ward      | ACUTE | in-progress | 2026-11-20T03:00:00Z |                      | whole
"""


@pytest.mark.parametrize("id_", ["ed", "whole", "ward"])
def test_an_encounter_with_its_parts_is_one_stay(id_: str) -> None:
    built = in_course_of(id_, PIECES)
    assert told(LENGTH.read(built, AT)) == "2 d from whole"
    assert told(ACUTE.read(built, AT)) == "True from whole"
    assert told(VISITS.read(built, AT)) == "0 from whole"  # the emergency visit of this admission is none


def in_course_of(id_: str, *tables: str) -> Chart:
    resources = [patient(), *(resource for table in tables for resource in rows(table))]
    return Chart.of([(fhir(one), None) for one in resources], Identity("p"), VOCABULARY, encounter_id=id_)


@pytest.mark.parametrize("id_", ["clinic", "elsewhere"])
def test_the_encounter_of_the_call_decides_even_if_it_is_no_stay(id_: str) -> None:
    table = stay("now | IMP | in-progress | 2026-11-20 |", "clinic | AMB | in-progress | 2026-11-22T08:00:00Z |")
    answer = LENGTH.read(in_course_of(id_, table), AT)
    assert isinstance(answer, Missing)
    assert "the encounter of this call" in answer.notes[0]


def test_parts_that_hold_each_other_end() -> None:
    ring = "Encounter | class | begin | part of\na | IMP | 2026-11-20 | b\nb | IMP | 2026-11-20 | a"
    assert isinstance(LENGTH.read(chart(ring, vocabulary=VOCABULARY), AT), Missing)


CAME_BY = "now | IMP | in-progress | 2026-11-20T12:00:00Z |"


@pytest.mark.feature("EmergencyVisits")
@pytest.mark.parametrize(
    ("line", "acute", "visits"),
    [
        ("ed | EMER | finished | 2026-11-20T06:00:00Z | 2026-11-20T12:00:00Z", "True from now", "0 from now"),
        ("ed | EMER | finished | 2026-11-20T02:00:00Z | 2026-11-20T06:00:00Z", "True from now", "0 from now"),
        ("ed | EMER | finished | 2026-11-20T02:00:00Z | 2026-11-20T05:59:00Z", "never recorded", "1 from now"),
        ("ed | EMER | finished | 2026-11-20T11:00:00Z | 2026-11-20T13:00:00Z", "True from now", "0 from now"),
        ("ed | EMER | finished | 2026-11-20T12:30:00Z | 2026-11-20T13:00:00Z", "True from now", "0 from now"),
        ("ed | EMER | finished | 2026-05-24T12:00:00Z | 2026-05-24T13:00:00Z", "never recorded", "1 from now"),
        ("ed | EMER | finished | 2026-05-24T11:59:59Z | 2026-05-24T13:00:00Z", "never recorded", "0 from now"),
        ("ed | EMER | cancelled | 2026-10-20T02:00:00Z | 2026-10-20T05:59:00Z", "never recorded", "0 from now"),
        ("ed | AMB | finished | 2026-10-20T02:00:00Z | 2026-10-20T05:59:00Z", "never recorded", "0 from now"),
    ],
)
def test_emergency_visits_without_the_one_that_led_to_the_admission(line: str, acute: str, visits: str) -> None:
    built = chart(stay(CAME_BY, line), vocabulary=VOCABULARY)
    assert (told(ACUTE.read(built, AT)), told(VISITS.read(built, AT))) == (acute, visits)


FIRST = "a | IMP | finished | 2026-11-13T12:00:00Z | 2026-11-18T12:00:00Z"


@pytest.mark.parametrize(
    ("second", "length", "admissions"),
    [
        ("b | IMP | finished | 2026-11-18T12:00:00Z | 2026-11-22T08:00:00Z", "9 d from a", "0 from a"),
        ("b | ACUTE | in-progress | 2026-11-18T18:00:00Z |", "9 d from a", "0 from a"),
        ("b | IMP | finished | 2026-11-18T18:00:01Z | 2026-11-22T08:00:00Z", "4 d from b", "1 from b"),
        ("b | AMB | finished | 2026-11-18T12:00:00Z | 2026-11-22T08:00:00Z", "never recorded", "never recorded"),
    ],
)
def test_a_transfer_is_one_stay(second: str, length: str, admissions: str) -> None:
    built = chart(stay(FIRST, second), vocabulary=VOCABULARY)
    assert (told(LENGTH.read(built, AT)), told(ADMITTED.read(built, AT))) == (length, admissions)


ADMISSION = "Encounter | class | status | begin | end | priority | part of"


@pytest.mark.parametrize(
    ("lines", "answer"),
    [
        (("a | IMP | finished | 2026-11-13 | 2026-11-18 | EM |", "b | IMP | in-progress | 2026-11-18 | | EL |"), True),
        (("a | IMP | finished | 2026-11-13 | 2026-11-18 | EL |", "b | IMP | in-progress | 2026-11-18 | | EM |"), False),
        (("a | IMP | in-progress | 2026-11-13 | | EL |", "b | ACUTE | finished | 2026-11-15 | | EM | a"), False),
        (
            (
                "a | IMP | in-progress | 2026-11-13 | | |",
                "b | ACUTE | finished | 2026-11-13 | | EM | a",
                "c | ACUTE | finished | 2026-11-15 | | EL | a",
            ),
            True,
        ),
        (("a | IMP | in-progress | 2026-11-13 | | |", "c | ACUTE | finished | 2026-11-15 | | EL | a"), None),
    ],
)
def test_the_first_part_says_how_a_patient_was_admitted(lines: tuple[str, ...], answer: bool | None) -> None:
    found = ACUTE.read(chart("\n".join([ADMISSION, *lines]), vocabulary=VOCABULARY), AT)
    assert (None if isinstance(found, Missing) else found.value) is answer


@pytest.mark.parametrize(
    ("part_of", "priority", "answer"),
    [
        ("", "EL", "not stated"),
        ("", "", "True from now"),
        ("", "EM", "True from now"),
        ("now", "EL", "True from now"),  # the hospital says that they belong together
    ],
)
def test_a_planned_admission_soon_after_an_emergency_visit_is_asked_about(
    part_of: str, priority: str, answer: str
) -> None:
    ed = f"ed | EMER | finished | 2026-11-20T06:00:00Z | 2026-11-20T10:00:00Z | | {part_of}"
    now = f"now | IMP | in-progress | 2026-11-20T12:00:00Z | | {priority} |"
    assert latest("\n".join([ADMISSION, ed, now]), ACUTE, vocabulary=VOCABULARY) == answer


@pytest.mark.parametrize("status", ["in-progress", "finished"])
def test_a_stay_of_which_only_the_year_is_known_takes_no_other_with_it(status: str) -> None:
    built = chart(stay(CAME_BY, f"old | IMP | {status} | 2026 |"), vocabulary=VOCABULARY)
    earlier = ADMITTED.read(built, AT)
    assert (told(LENGTH.read(built, AT)), told(earlier)) == ("2 d from now", "0 from now")
    assert earlier.notes == ("1 hospital visit(s) without a date or a clear status were not counted",)


def test_a_month_that_is_surely_before_the_admission_counts() -> None:
    earlier = ADMITTED.read(chart(stay(CAME_BY, "old | IMP | finished | 2026-05 |"), vocabulary=VOCABULARY), AT)
    assert (told(earlier), earlier.notes) == ("1 from now", ())


def test_an_emergency_visit_that_led_to_an_earlier_admission_counts() -> None:
    before = stay(
        CAME_BY,
        "ed | EMER | finished | 2026-10-01T06:00:00Z | 2026-10-01T12:00:00Z",
        "ward | IMP | finished | 2026-10-01T12:00:00Z | 2026-10-05T12:00:00Z",
    )
    built = chart(before, vocabulary=VOCABULARY)
    assert (told(VISITS.read(built, AT)), told(ADMITTED.read(built, AT))) == ("1 from now", "1 from now")


@pytest.mark.feature("AcuteAdmission")
@pytest.mark.parametrize(
    ("members", "answer"),
    [
        ("EM |", "True from now"),
        ("UR |", "True from now"),
        ("EL |", "False from now"),
        ("R |", "False from now"),
        ("R | emd", "True from now"),  # any sign of urgency
        (" | emd", "True from now"),
        (" | outp", "never recorded"),  # that does not say
        ("CR |", "never recorded"),
        (" |", "never recorded"),
    ],
)
def test_acuity(members: str, answer: str) -> None:
    head = "Encounter | class | status | begin | priority | admitted from"
    table = f"{head}\nnow | IMP | in-progress | 2026-11-20 | {members}"
    assert latest(table, ACUTE, vocabulary=VOCABULARY) == answer


@pytest.mark.feature("AcuteAdmission")
@pytest.mark.parametrize(
    ("members", "answer"),
    [
        ({"admission": {"admitSource": EMD}}, "True from now"),  # as R5 has it
        ({"hospitalization": {"admitSource": EMD}}, "True from now"),
        ({"hospitalization": {"admitSource": [EMD]}}, "never recorded"),  # no shape of any version
        ({"hospitalization": "by ambulance"}, "never recorded"),
        ({"priority": [{"coding": [{"system": ACT_PRIORITY, "code": "EM"}]}]}, "True from now"),
        ({"priority": {"coding": [{"system": "urn:local", "code": "EM"}]}}, "never recorded"),
        ({"priority": "urgent"}, "never recorded"),
        ({"partOf": [{"reference": "Encounter/other"}]}, "never recorded"),
    ],
)
def test_what_hospitals_send_in_these_members(members: Json, answer: str) -> None:
    now = next(rows("Encounter | class | status | begin\nnow | IMP | in-progress | 2026-11-20")) | members
    built = Chart.of([(fhir(one), None) for one in (patient(), now)], Identity("p"), VOCABULARY)
    assert told(ACUTE.read(built, AT)) == answer


@pytest.mark.feature("Admissions")
@pytest.mark.parametrize(
    ("lines", "count"),
    [
        (("a | IMP | finished | 2025-11-20T12:00:00Z | 2025-11-25",), 1),
        (("a | IMP | finished | 2025-11-20T11:59:59Z | 2025-11-25",), 0),
        (("a | ACUTE | finished | 2026-01-01 | 2026-01-05", "b | IMP | finished | 2026-02-01 | 2026-02-03"), 2),
        (("a | IMP | finished | 2026-01-01 | 2026-01-05", "b | ACUTE | finished | 2026-01-03 | 2026-01-08"), 1),
        (("a | SS | finished | 2026-01-01 | 2026-01-02", "b | EMER | finished | 2026-03-01 | 2026-03-01"), 0),
    ],
)
def test_admissions_of_a_year(lines: tuple[str, ...], count: int) -> None:
    assert latest(stay(CAME_BY, *lines), ADMITTED, vocabulary=VOCABULARY) == f"{count} from now"


@pytest.mark.parametrize("line", ["ed | EMER | finished |  |", "ed | EMER | unknown | 2026-10-01 |"])
def test_a_visit_that_cannot_be_placed_is_said(line: str) -> None:
    answer = VISITS.read(chart(stay(CAME_BY, line), vocabulary=VOCABULARY), AT)
    assert told(answer) == "0 from now"
    assert answer.notes == ("1 hospital visit(s) without a date or a clear status were not counted",)


@pytest.mark.feature("LastOfStay")
@pytest.mark.parametrize(
    ("effective", "value", "answer"),
    [
        ("2026-11-21T08:00:00Z", "11.9", "11.9 g/dL from hb"),
        ("2026-11-19T08:00:00Z", "11.9", "too old"),
        ("2026-11-22T15:00:00Z", "11.9", "never recorded"),
        ("2026-11-21T08:00:00Z", "119", "implausible"),
        ("2026-11-21", "11.9", "11.9 g/dL from hb"),
        ("2026-11-20", "11.9", "11.9 g/dL from hb"),  # the day of admission
        ("2026-11", "11.9", "not precise enough"),
    ],
)
def test_the_last_result_of_the_stay(effective: str, value: str, answer: str) -> None:
    result = f"Observation | code | effective | value | unit\nhb | 718-7 | {effective} | {value} | g/dL"
    built = chart(stay(CAME_BY), result, vocabulary=VOCABULARY)
    assert told(LastOfStay(lab_series("hemoglobin")).read(built, AT)) == answer


def test_a_result_of_an_earlier_visit_is_none_of_the_stay() -> None:
    result = "Observation | code | effective | value | unit | encounter\nhb | 718-7 | 2026-11-21 | 11.9 | g/dL | "
    visit = stay(CAME_BY, "before | AMB | finished | 2026-11-02 | 2026-11-02")
    for encounter, answer in (("before", "never recorded"), ("now", "11.9 g/dL from hb")):
        built = chart(visit, f"{result}Encounter/{encounter}", vocabulary=VOCABULARY)
        assert told(LastOfStay(lab_series("hemoglobin")).read(built, AT)) == answer


@pytest.mark.feature("FromService")
@pytest.mark.parametrize(
    ("code", "answer"), [("OMED", "True from now"), ("CMED", "False from now"), ("X", "never recorded")]
)
def test_from_which_service(code: str, answer: str) -> None:
    table = f"Encounter | class | status | begin | service\nnow | IMP | in-progress | 2026-11-20 | {SERVICES}|{code}"
    assert latest(table, ONCOLOGY, vocabulary=VOCABULARY) == answer


@pytest.mark.feature("ProcedureInStay")
@pytest.mark.parametrize(
    ("line", "answer"),
    [
        (f"{PCS}|0DTJ4ZZ | 2026-11-21 | completed |", "True from one"),
        (f"{PCS}|0DTJ4ZZ | 2026-11-19 | completed |", "never recorded"),
        (f"{PCS}|0DTJ4ZZ | 2026-11-20 | completed |", "True from one"),  # the day of admission
        (f"{PCS}|0DTJ4ZZ | 2026-11-20T11:59:00Z | completed |", "never recorded"),
        (f"{PCS}|0DTJ4ZZ | 2026-11 | completed |", "not precise enough"),
        (f"{PCS}|0DTJ4ZZ | 2026 | completed |", "not precise enough"),
        (f"{PCS}|0DTJ4ZZ | 2025 | completed |", "never recorded"),
        (f"{PCS}|0DTJ4ZZ | 2026 | completed | Encounter/now", "True from one"),
        (f"{PCS}|0DTJ4ZZ | 2026-11-21 | completed | Encounter/before", "never recorded"),
        (f"{PCS}|0DTJ4ZZ |  | completed | Encounter/now", "True from one"),
        (f"{PCS}|0DTJ4ZZ | 2026-11-21 | not-done |", "never recorded"),
        ("http://snomed.info/sct|430193006 | 2026-11-21 | completed |", "never recorded"),
    ],
)
def test_a_coded_procedure_of_the_stay(line: str, answer: str) -> None:
    done = f"Procedure | code | performed | status | encounter\none | {line}"
    built = chart(stay(CAME_BY, "before | AMB | finished | 2026-11-02 | 2026-11-02"), done, vocabulary=VOCABULARY)
    assert told(ProcedureInStay(STAY_CODES["coded_procedure"]).read(built, AT)) == answer


def test_encounters_that_were_not_read_are_not_none() -> None:
    with pytest.raises(DataUnavailable) as fault:
        latest(stay(CAME_BY), LENGTH, vocabulary=VOCABULARY, unread=("encounters",))
    assert fault.value.keys == ("encounters",)


def test_an_encounter_with_an_unknown_modifier_is_not_passed_over() -> None:
    table = "Encounter | class | status | begin | modifier\nnow | IMP | in-progress | 2026-11-20 | urn:not"
    with pytest.raises(DataUnavailable, match="modified"):
        latest(table, LENGTH, vocabulary=VOCABULARY)


def test_the_stay_at_another_time() -> None:
    table = stay("now | IMP | finished | 2026-11-18T22:00:00Z | 2026-11-21T14:00:00Z")
    assert latest(table, LENGTH, dated("2026-11-20T10:00:00+00:00"), vocabulary=VOCABULARY) == "2 d from now"
