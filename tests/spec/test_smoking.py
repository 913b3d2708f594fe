"""What Smoking means: the newest coded status, of which only "current" grows too old, and no guess among two."""

import pytest

from cds import Missing, Reading, Smoking
from cds.errors import DataUnavailable
from tests.spec.charts import AT, SNOMED, chart, latest, told

SMOKING = Smoking()
CURRENT, FORMER, NEVER, UNKNOWN = (f"{SNOMED}|{code}" for code in ("449868002", "8517006", "266919005", "266927001"))
HEAD = "Observation | code | effective | answer | status | issued"


def stated(*lines: str) -> str:
    """Observations of the smoking status: id, time, answer, and where they matter status and time of issue."""
    cells = [[cell.strip() for cell in line.split(" |")] for line in lines]
    return "\n".join([HEAD, *(" | ".join([c[0], "72166-2", *c[1:], *[""] * (5 - len(c))]) for c in cells)])


@pytest.mark.feature("Smoking")
@pytest.mark.parametrize(
    ("code", "answer"),
    [
        (CURRENT, "current from one"),
        (f"{SNOMED}|428041000124106", "current from one"),  # some days
        (f"{SNOMED}|77176002", "current from one"),
        (f"{SNOMED}|428071000124103", "current from one"),  # heavy
        (f"{SNOMED}|428061000124105", "current from one"),  # light
        (FORMER, "former from one"),
        (NEVER, "never from one"),
        (UNKNOWN, "not stated"),
        (f"{SNOMED}|1", "not stated"),  # a code of no list
        ("urn:local|449868002", "not stated"),  # the system is half of the code
        ("", "not stated"),
        (f"urn:local|S {CURRENT}", "current from one"),
        (f"{CURRENT} {SNOMED}|77176002", "current from one"),
        (f"{CURRENT} {NEVER}", "not stated"),  # one answer that says both
    ],
)
def test_what_an_answer_means(code: str, answer: str) -> None:
    assert latest(stated(f"one | 2026-11-01 | {code}"), SMOKING) == answer


@pytest.mark.feature("Smoking")
@pytest.mark.parametrize(
    ("status", "answer"),
    [
        ("final", "current from one"),
        ("amended", "current from one"),
        ("corrected", "current from one"),
        ("preliminary", "not final"),
        ("registered", "not final"),
        ("unknown", "not final"),
        ("entered-in-error", "never recorded"),
        ("cancelled", "never recorded"),
    ],
)
def test_the_status_of_the_record(status: str, answer: str) -> None:
    assert latest(stated(f"one | 2026-11-01 | {CURRENT} | {status}"), SMOKING) == answer


@pytest.mark.feature("Smoking")
@pytest.mark.parametrize(
    ("effective", "current", "never"),
    [
        ("2026-11-22T14:02:00Z", "current from one", "never from one"),
        ("2026-11-22T14:02:01Z", "never recorded", "never recorded"),  # not yet
        ("2021-11-22T14:02:00Z", "current from one", "never from one"),
        ("2021-11-22T14:01:59Z", "too old", "never from one"),
        ("2021-12", "current from one", "never from one"),
        ("2021-11", "too old", "never from one"),
        ("2021", "too old", "never from one"),
        ("2010", "too old", "never from one"),
        ("", "no date", "no date"),
        ("long ago", "no date", "no date"),
    ],
)
def test_who_smoked_long_ago_may_have_stopped(effective: str, current: str, never: str) -> None:
    answers = [latest(stated(f"one | {effective} | {code}"), SMOKING) for code in (CURRENT, NEVER)]
    assert answers == [current, never]


@pytest.mark.feature("Smoking")
@pytest.mark.parametrize(
    ("first", "second", "answer"),
    [
        (f"2025-01-01 | {CURRENT}", f"2026-01-01 | {FORMER}", "former from second"),
        (f"2026-01-01 | {CURRENT}", f"2025-01-01 | {FORMER}", "current from first"),
        (f"2025-01-01 | {NEVER}", f"2026-01-01 | {UNKNOWN}", "not stated"),  # no older one stands in
        (f"2026-01-01 | {NEVER}", f"2026-01-01 | {NEVER}", "never from second"),
        (f"2026-01-01 | {NEVER}", f"2026-01-01 | {CURRENT}", "not stated"),  # on one day, and they disagree
        (f"2026-01-01 | {CURRENT}", f"2026-01-01 | {NEVER}", "not stated"),
        (f"2026-01-01T08:00:00Z | {NEVER}", f"2026-01-01T09:00:00Z | {CURRENT}", "current from second"),
        (f"2026-01-01T08:00:00Z | {NEVER}", f"2026-01-01 | {CURRENT}", "not stated"),  # which was later?
        (f"2026-01 | {NEVER}", f"2026-01-20 | {CURRENT}", "not stated"),
        (f"2026-01 | {NEVER}", f"2026-02-20 | {CURRENT}", "current from second"),
        (f"2026-01-01 | {NEVER} | final | 2026-01-03T08:00:00Z",
         f"2026-01-01 | {CURRENT} | final | 2026-01-02T08:00:00Z", "never from first"),  # issued later: a correction
        (f"2026-01-01 | {NEVER}", f"2026-01-01 | {CURRENT} | entered-in-error", "never from first"),
        (f"2026-01-01 | {NEVER}", f"2026-01-02 | {CURRENT} | preliminary", "never from first"),
    ],
)  # fmt: skip
def test_of_two_the_newer_counts_and_two_that_disagree_say_nothing(first: str, second: str, answer: str) -> None:
    assert latest(stated(f"first | {first}", f"second | {second}"), SMOKING) == answer


@pytest.mark.feature("Smoking")
@pytest.mark.parametrize(
    ("other", "note"),
    [
        (f"2010-06 | {NEVER} | entered-in-error", "smoking status is of Jun 2012"),
        (f"2026-01-02 | {CURRENT} | preliminary",
         "smoking status is of Jun 2012; a newer smoking status (2 Jan 2026) is not final and was not used"),
        (f" | {CURRENT}", "smoking status is of Jun 2012; 1 smoking status(es) without a date were not used"),
    ],
)  # fmt: skip
def test_what_a_reader_must_hear_of_a_status_that_is_used(other: str, note: str) -> None:
    answer = SMOKING.read(chart(stated(f"used | 2012-06 | {NEVER}", f"other | {other}")), AT)
    assert isinstance(answer, Reading)
    assert (answer.value, "; ".join(answer.notes)) == ("never", note)


@pytest.mark.feature("Smoking")
@pytest.mark.parametrize(
    ("cells", "answer"),
    [
        ("absent | any|unknown", "no value"),
        ("modifier | urn:not", "modified"),
        ("focus | Patient/fetus", "modified"),  # it is about somebody else
        ("text | smokes", "not stated"),  # a text is never read
        ("integer | 1", "not stated"),
    ],
)
def test_what_is_no_coded_answer(cells: str, answer: str) -> None:
    column, cell = cells.split(" | ")
    table = f"Observation | code | effective | {column}\none | 72166-2 | 2026-11 | {cell}"
    read = SMOKING.read(chart(table), AT)
    assert isinstance(read, Missing)
    assert (read.why, read.date) == (answer, "Nov 2026")


def test_another_code_is_no_smoking_status() -> None:
    table = f"Observation | code | effective | answer\none | 11367-0 | 2026-11-01 | {CURRENT}"
    assert latest(table, SMOKING) == "never recorded"


def test_what_was_not_read_is_not_never() -> None:
    with pytest.raises(DataUnavailable) as fault:
        told(SMOKING.read(chart(unread=("smoking_status",)), AT))
    assert fault.value.keys == ("smoking_status",)
