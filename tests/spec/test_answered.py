"""What charts do not code: an explicit yes or no, and everything else is no answer."""

import pytest

from cds import Answered, Reading, days
from cds.features.needs import template
from cds.fhir.codes import Vocabulary
from tests.spec.charts import AT, chart, latest

MOBILITY = Answered("reduced_mobility", within=days(7))
VOCABULARY = Vocabulary(MOBILITY.codes)
CODE = "urn:bedside:feature|reduced_mobility"
YES, NO = "http://snomed.info/sct|373066001", "http://snomed.info/sct|373067005"


def said(table: str) -> str:
    return latest(table, MOBILITY, AT, vocabulary=VOCABULARY)


@pytest.mark.feature("Answered")
@pytest.mark.parametrize(
    ("effective", "value", "status", "expected"),
    [
        ("2026-11-22", YES, "final", "True from one"),
        ("2026-11-22", NO, "final", "False from one"),
        ("2026-11-22", "http://loinc.org|LA33-6", "final", "True from one"),
        ("2026-11-22", "http://loinc.org|LA32-8", "amended", "False from one"),
        ("2026-11-22", "http://snomed.info/sct|261665006", "final", "not readable"),
        ("2026-11-22", f"{YES} {NO}", "final", "not readable"),
        ("2026-11-22", "", "final", "not readable"),
        ("2026-11-22", YES, "preliminary", "never recorded"),
        ("2026-11-22", YES, "entered-in-error", "never recorded"),
        ("2026-11-23", YES, "final", "never recorded"),
        ("2026-11-10", YES, "final", "too old"),
        ("", YES, "final", "never recorded"),
    ],
)
def test_an_answer(effective: str, value: str, status: str, expected: str) -> None:
    table = f"Observation | effective | code | answer | status\none | {effective} | {CODE} | {value} | {status}"
    assert said(table) == expected


def test_the_newest_answer_counts() -> None:
    assert (
        said(f"""
        Observation | effective  | code   | answer
        old         | 2026-11-20 | {CODE} | {YES}
        newest      | 2026-11-21 | {CODE} | {NO}
        """)
        == "False from newest"
    )


@pytest.mark.parametrize(
    ("effective", "status", "said_of_it"),
    [
        ("2026-11-22", "preliminary", True),
        ("2026-11-20", "preliminary", False),
        ("2026-11-22", "entered-in-error", False),
        ("2026-11-23", "preliminary", False),
    ],
)
def test_a_newer_answer_that_is_not_final_is_said(effective: str, status: str, said_of_it: bool) -> None:
    table = f"""
        Observation | effective   | code   | answer | status
        used        | 2026-11-21  | {CODE} | {NO}   | final
        newer       | {effective} | {CODE} | {YES}  | {status}
        """
    answer = MOBILITY.read(chart(table, vocabulary=VOCABULARY), AT)
    assert isinstance(answer, Reading)
    assert answer.value is False
    assert answer.notes == (("a newer answer (reduced mobility) is not final and was not used",) if said_of_it else ())


def test_an_unread_search_is_no_answer() -> None:
    assert latest("Observation | effective", MOBILITY, vocabulary=VOCABULARY, unread=("answers",)) == "not read"


def test_its_search_names_the_code() -> None:
    assert f"code={CODE}" in template(MOBILITY.need, VOCABULARY)
