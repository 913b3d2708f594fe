"""What Latest means: which result counts, when it was, and why there is none."""

import pytest

from cds import Latest, Reading, lab_series, months
from cds.errors import DataUnavailable
from cds.fhir.chart import Chart
from cds.fhir.codes import Vocabulary
from cds.fhir.identity import Identity
from cds.fhir.resources import read_leniently
from tests.spec.charts import AT, LAB_CODES, chart, dated, latest, patient, rows, told

CREATININE = Latest(lab_series("creatinine"), within=months(12))


@pytest.mark.feature("Latest")
@pytest.mark.proves("R35", "10 statuses of a result: only final, amended and corrected count")
@pytest.mark.parametrize(
    ("status", "answer"),
    [
        ("final", "2 mg/dL from newest"),
        ("amended", "2 mg/dL from newest"),
        ("corrected", "2 mg/dL from newest"),
        ("entered-in-error", "1 mg/dL from older"),
        ("cancelled", "1 mg/dL from older"),
        ("registered", "1 mg/dL from older"),
        ("preliminary", "1 mg/dL from older"),
        ("unknown", "1 mg/dL from older"),
        ("banana", "1 mg/dL from older"),
        ("null", "1 mg/dL from older"),
    ],
)
def test_d8_only_final_amended_and_corrected_results_count(status: str, answer: str) -> None:
    table = f"""
        Observation | effective  | value | unit  | status
        older       | 2026-10-01 | 1     | mg/dL | final
        newest      | 2026-11-01 | 2     | mg/dL | {status}
    """
    assert latest(table, CREATININE) == answer


@pytest.mark.feature("Latest")
@pytest.mark.proves(
    "R35", "a newer preliminary or registered result is said; entered-in-error and cancelled are as if absent"
)
@pytest.mark.parametrize(
    ("status", "note"),
    [
        ("preliminary", "a newer result (2 mg/dL, 1 Nov 2026) is not final and was not used"),
        ("registered", "a newer result (2 mg/dL, 1 Nov 2026) is not final and was not used"),
        ("entered-in-error", None),
        ("cancelled", None),
    ],
)
def test_d8_a_newer_result_that_is_not_final_is_said_but_an_error_is_as_if_absent(
    status: str, note: str | None
) -> None:
    answer = CREATININE.read(
        chart(f"""
            Observation | effective  | value | unit  | status
            older       | 2026-10-01 | 1     | mg/dL | final
            newest      | 2026-11-01 | 2     | mg/dL | {status}
        """),
        AT,
    )
    assert isinstance(answer, Reading)
    assert answer.notes == ((note,) if note else ())


@pytest.mark.parametrize(
    ("written", "said"),
    [("2026-11", "Nov 2026"), ("2026", "2026"), ("2026-11-02", "2 Nov 2026"), ("2026-11-02T23:30:00", "2 Nov 2026")],
)
def test_the_date_of_a_result_that_is_not_final_is_no_more_precise_than_it_was_written(written: str, said: str) -> None:
    answer = CREATININE.read(
        chart(f"""
            Observation | effective  | value | unit  | status
            older       | 2026-10-01 | 1     | mg/dL | final
            newest      | {written}  | 2     | mg/dL | preliminary
        """),
        AT,
    )
    assert isinstance(answer, Reading)
    assert answer.notes == (f"a newer result (2 mg/dL, {said}) is not final and was not used",)


def test_d8_an_older_result_that_is_not_final_is_not_mentioned() -> None:
    answer = CREATININE.read(
        chart("""
            Observation | effective  | value | unit  | status
            older       | 2026-10-01 | 2     | mg/dL | preliminary
            newest      | 2026-11-01 | 1     | mg/dL | final
        """),
        AT,
    )
    assert isinstance(answer, Reading)
    assert answer.notes == ()


UNUSABLE = [
    ("value 2, unit none", "2 |       |      |    |        |      |", "unit not accepted"),
    ("an unknown unit", "2 | mg    |      |    |        |      |", "unit not accepted"),
    ("implausible", "99 | mg/dL |      |    |        |      |", "implausible"),
    ("a comparator", "2 | mg/dL | <    |    |        |      |", "comparator"),
    ("no value", " |       |      |    |        |      |", "no value"),
    ("only a text", " |       |      | 2 mg/dL |   |      |", "no value"),
    ("data absent", " |       |      |    | error  |      |", "no value"),
    ("data absent beside a value", "2 | mg/dL |  |    | error  |      |", "no value"),
    ("a modifier", "2 | mg/dL |      |    |        | urn:not |", "modified"),
    ("another focus", "2 | mg/dL |      |    |        |      | Patient/fetus", "modified"),
]


@pytest.mark.feature("Latest")
@pytest.mark.proves("R35", "a newest result with a comparator, dataAbsentReason or wrong unit blocks the older ones")
@pytest.mark.parametrize(("cells", "why"), [case[1:] for case in UNUSABLE], ids=[case[0] for case in UNUSABLE])
def test_d8_the_newest_result_blocks_older_ones_when_it_is_unusable(cells: str, why: str) -> None:
    table = f"""
        Observation | effective  | value | unit | comparator | text | absent | modifier | focus
        older       | 2026-10-01 | 1     | mg/dL |  |  |  |  |
        newest      | 2026-11-01 | {cells}
    """
    answer = CREATININE.read(chart(table), AT)
    assert told(answer) == why
    assert answer.source == "Observation/newest"


@pytest.mark.feature("Latest")
@pytest.mark.parametrize(
    ("table", "why"),
    [
        ("Observation | effective | value | unit", "never recorded"),
        ("Observation | value | unit\none | 1 | mg/dL", "no date"),
        ("Observation | effective | value | unit\none | soon | 1 | mg/dL", "no date"),
        ("Observation | from | value | unit\none | 2026-11-01 | 1 | mg/dL", "no date"),
        ("Observation | effective | value | unit | status\none | 2026-11-01 | 1 | mg/dL | preliminary", "not final"),
        ("Observation | effective | value | unit | status\none | 2026-11-01 | 1 | mg/dL | cancelled", "never recorded"),
        ("Observation | effective | value | unit\none | 2026-12-01 | 1 | mg/dL", "never recorded"),
        ("Observation | effective | value | unit | code\none | 2026-11-01 | 1 | mg/dL | 2161-8", "never recorded"),
        ("Observation | effective | value | unit\none | 2024-11-01 | 1 | mg/dL", "too old"),
    ],
)
def test_why_there_is_no_result(table: str, why: str) -> None:
    assert latest(table, CREATININE) == why


def test_a_result_of_the_wrong_json_type_is_not_readable() -> None:
    broken = next(rows("Observation | effective | value | unit\none | 2026-11-01 | 1 | mg/dL"))
    broken["valueQuantity"]["value"] = "1.0"
    located = [(read_leniently(one), None) for one in (patient(), broken)]
    answer = CREATININE.read(Chart.of(located, Identity("p"), Vocabulary(LAB_CODES.values())), AT)
    assert told(answer) == "not readable"


@pytest.mark.feature("Latest")
@pytest.mark.parametrize(
    ("cells", "when"),
    [
        ("2026-11-01T08:00:00+01:00 | 2020-01-01T00:00:00Z | 2020 | 2020", "2026-11-01T07:00:00+00:00"),
        (" | 2026-11-01T08:00:00Z | 2020 | 2020", "2026-11-01T08:00:00+00:00"),
        (" | | 2026-10-31T08:00:00Z | 2026-11-01T08:00:00Z", "2026-11-01T08:00:00+00:00"),
    ],
)
def test_d8_time_is_effective_date_time_or_instant_or_the_end_of_the_period(cells: str, when: str) -> None:
    answer = CREATININE.read(
        chart(f"Observation | value | unit | effective | instant | from | to\none | 1 | mg/dL | {cells}"), AT
    )
    assert isinstance(answer, Reading)
    assert answer.when == dated(when)


@pytest.mark.feature("Latest")
@pytest.mark.proves("R57", "17 look-backs at their last second: leap day, month end, partial dates and offsets")
@pytest.mark.parametrize(
    ("at", "effective", "answer"),
    [
        ("2026-11-22T14:02:00Z", "2025-11-22T14:02:00Z", "1 mg/dL from one"),
        ("2026-11-22T14:02:00Z", "2025-11-22T14:01:59Z", "too old"),
        ("2026-11-22T14:02:00Z", "2025-11-23", "1 mg/dL from one"),
        ("2026-11-22T14:02:00Z", "2025-11-22", "too old"),  # it may have been before two o'clock
        ("2026-11-22T00:00:00Z", "2025-11-22", "1 mg/dL from one"),
        ("2026-11-22T14:02:00Z", "2025-11-21", "too old"),
        ("2026-11-22T14:02:00Z", "2025-12", "1 mg/dL from one"),
        ("2026-11-22T14:02:00Z", "2025-11", "too old"),
        ("2026-11-22T14:02:00Z", "2026", "1 mg/dL from one"),
        ("2026-11-22T14:02:00Z", "2025", "too old"),
        ("2024-02-29T12:00:00Z", "2023-02-28T12:00:00Z", "1 mg/dL from one"),  # there was no 29 February 2023
        ("2024-02-29T12:00:00Z", "2023-02-28T11:59:59Z", "too old"),
        ("2025-02-28T12:00:00Z", "2024-02-28T12:00:00Z", "1 mg/dL from one"),
        ("2025-02-28T12:00:00Z", "2024-02-28T11:59:59Z", "too old"),
        ("2025-03-01T12:00:00Z", "2024-02-29T12:00:00Z", "too old"),
        ("2026-11-22T14:02:00+02:00", "2025-11-22T12:02:00Z", "1 mg/dL from one"),
        ("2026-11-22T14:02:00+02:00", "2025-11-22T12:01:59Z", "too old"),
    ],
)
def test_the_look_back_ends_at_the_same_instant_of_the_month(at: str, effective: str, answer: str) -> None:
    table = f"Observation | effective | value | unit\none | {effective} | 1 | mg/dL"
    assert latest(table, CREATININE, dated(at)) == answer


@pytest.mark.feature("Latest")
@pytest.mark.parametrize(
    ("effective", "answer"),
    [
        ("2026-11-22T14:02:00Z", "1 mg/dL from one"),
        ("2026-11-22T14:02:01Z", "never recorded"),
        ("2026-11-22T16:02:00+02:00", "1 mg/dL from one"),
        ("2026-11-22T14:02:00-01:00", "never recorded"),
        ("2026-11-22", "1 mg/dL from one"),
        ("2026-11", "1 mg/dL from one"),
        ("2026-11-23", "never recorded"),
        ("2027", "never recorded"),
    ],
)
def test_d8_facts_after_at_do_not_exist(effective: str, answer: str) -> None:
    assert latest(f"Observation | effective | value | unit\none | {effective} | 1 | mg/dL", CREATININE) == answer


def test_an_optional_need_that_was_not_read_is_not_absent() -> None:
    optional = Latest(lab_series("upcr", count=10, required=False), within=months(12))
    assert latest("Observation | effective", optional, unread=("upcr",)) == "not read"


def test_a_required_need_that_was_not_read_raises() -> None:
    with pytest.raises(DataUnavailable) as fault:
        latest("Observation | effective", CREATININE, unread=("creatinine",))
    assert fault.value.keys == ("creatinine",)


def test_undated_results_are_said() -> None:
    answer = CREATININE.read(
        chart("""
            Observation | effective  | value | unit
            dated       | 2026-11-01 | 1     | mg/dL
            undated     |            | 2     | mg/dL
        """),
        AT,
    )
    assert isinstance(answer, Reading)
    assert answer.notes == ("1 result(s) without a date were not used",)
