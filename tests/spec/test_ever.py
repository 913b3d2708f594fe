"""What Ever means: which records count, when they were, and what cannot be read is not absent."""

import pytest

from cds import CONDITIONS, ENCOUNTERS, PROCEDURES, Ever, Missing, Need, Reading, surely_within_days, within_days
from cds.errors import DataUnavailable
from cds.fhir.chart import Chart
from cds.fhir.codes import CodeSet, Vocabulary
from cds.fhir.identity import Identity
from cds.fhir.resources import read_leniently
from tests.spec.charts import AT, DIALYSIS, Json, chart, dated, latest, patient, rows, told

EVER = Ever(DIALYSIS, needs=(CONDITIONS, PROCEDURES, ENCOUNTERS))


@pytest.mark.feature("Ever")
@pytest.mark.parametrize(
    ("table", "answer"),
    [
        ("Condition | onset\none | 2020-01-01", "True from one"),
        ("Condition | recorded\none | 2020-01-01", "True from one"),
        ("Condition | code\none | http://hl7.org/fhir/sid/icd-10-cm|Z992", "True from one"),
        ("Condition | code\none | http://hl7.org/fhir/sid/icd-10|Z99.2", "never recorded"),
        ("Condition | verification\none | confirmed", "True from one"),
        ("Condition | verification\none | provisional", "True from one"),
        ("Condition | verification\none | refuted", "never recorded"),
        ("Condition | verification\none | entered-in-error", "never recorded"),
        ("Condition | clinical\none | resolved", "True from one"),
        ("Condition | onset\none | 2026-11-23", "never recorded"),
        ("Procedure | performed\none | 2020-01-01", "True from one"),
        ("Procedure | status\none | in-progress", "True from one"),
        ("Procedure | status\none | stopped", "True from one"),
        ("Procedure | status\none | not-done", "never recorded"),
        ("Procedure | status\none | preparation", "never recorded"),
        ("Procedure | status\none | entered-in-error", "never recorded"),
        ("Procedure | status\none | null", "never recorded"),
        ("Procedure | performed\none | 2026-11-23", "never recorded"),
        ("Procedure | started | ended\none | 2026-11-01 | 2027-01-01", "True from one"),  # it has begun
        ("Procedure | started | ended\none | 2026-11-23 | 2027-01-01", "never recorded"),
        ("Encounter | type\none | 265764009", "never recorded"),
        ("Encounter | type\none | http://snomed.info/sct|265764009", "True from one"),
        ("Encounter | type | status\none | http://snomed.info/sct|265764009 | planned", "never recorded"),
        ("Encounter | type | status\none | http://snomed.info/sct|265764009 | cancelled", "never recorded"),
        ("Encounter | type | status\none | http://snomed.info/sct|265764009 | arrived", "True from one"),
        ("Observation | code\none | 11041-1", "never recorded"),  # a question, and the answer may be no
    ],
)
def test_which_records_count(table: str, answer: str) -> None:
    assert latest(table, EVER) == answer


LABS = Need("labs", "Observation", (DIALYSIS,))


@pytest.mark.parametrize(
    ("table", "answer"),
    [
        ("Observation | code\none | 11041-1", "True from one"),
        ("Observation | code | status\none | 11041-1 | preliminary", "never recorded"),
        ("Condition | onset\none | 2020-01-01", "True from one"),
        ("Procedure | performed\none | 2020-01-01", "never recorded"),
    ],
)
def test_what_no_need_asks_for_does_not_count(table: str, answer: str) -> None:
    assert latest(table, Ever(DIALYSIS, needs=(CONDITIONS, LABS))) == answer


def test_an_observation_of_another_set_is_not_asked_for() -> None:
    other = Need("labs", "Observation", (CodeSet("other", ()),))
    assert latest("Observation | code\none | 11041-1", Ever(DIALYSIS, needs=(CONDITIONS, other))) == "never recorded"


def test_where_one_need_counts_the_others_are_read_all_the_same() -> None:
    only = Ever(DIALYSIS, needs=(CONDITIONS, ENCOUNTERS), only=CONDITIONS)
    visit = "Encounter | type\none | http://snomed.info/sct|265764009"
    assert (latest(visit, EVER), latest(visit, only)) == ("True from one", "never recorded")
    with pytest.raises(DataUnavailable):
        latest(visit, only, unread=("encounters",))


@pytest.mark.parametrize("kind", ["Condition", "Procedure"])
def test_a_record_with_an_unknown_modifier_is_not_absent(kind: str) -> None:
    """FHIR: it must not be processed; so whether it happened is not known, and that is no "no"."""
    with pytest.raises(DataUnavailable, match="modifier"):
        latest(f"{kind} | modifier\none | urn:not", EVER)


def test_a_refuted_record_with_an_unknown_modifier_is_absent_either_way() -> None:
    assert latest("Condition | modifier | verification\none | urn:not | refuted", EVER) == "never recorded"


@pytest.mark.feature("Ever")
@pytest.mark.parametrize(
    ("table", "when"),
    [
        ("Condition | onset | recorded\none | 2020-01-01T08:00:00Z | 2021-01-01", "2020-01-01T08:00:00Z"),
        ("Condition | recorded\none | 2021-01-01T08:00:00Z", "2021-01-01T08:00:00Z"),
        ("Condition | recorded | onset\none | 2021-01-01T08:00:00Z | long ago", "2021-01-01T08:00:00Z"),
        ("Procedure | started | ended\none | 2021-01-01 | 2021-01-02T08:00:00Z", "2021-01-02T08:00:00Z"),
        ("Procedure | started\none | 2021-01-01T08:00:00Z", "2021-01-01T08:00:00Z"),
    ],
)
def test_when_a_record_was(table: str, when: str) -> None:
    answer = EVER.read(chart(table), AT)
    assert isinstance(answer, Reading)
    assert answer.when == dated(when)


def test_a_condition_without_a_time_has_its_encounters() -> None:
    visit = "Encounter | begin\nvisit | 2021-01-01T08:00:00Z"
    for reference in ("Encounter/visit", "Encounter/visit/_history/2", "urn:uuid:visit"):
        answer = EVER.read(chart(visit, f"Condition | encounter\none | {reference}"), AT)
        assert isinstance(answer, Reading)
        assert answer.when == dated("2021-01-01T08:00:00Z")
    for reference in ("https://other.example/fhir/Encounter/visit", "Encounter/another", "#visit"):
        answer = EVER.read(chart(visit, f"Condition | encounter\none | {reference}"), AT)
        assert isinstance(answer, Reading)
        assert answer.when is None


def test_the_newest_record_is_named_and_dated_ones_come_first() -> None:
    answer = EVER.read(chart("Condition | onset\nundated |\nold | 2020\nnew | 2021"), AT)
    assert told(answer) == "True from new"


@pytest.mark.parametrize("need", ["conditions", "procedures", "encounters"])
def test_what_was_not_read_is_not_absent(need: str) -> None:
    with pytest.raises(DataUnavailable) as fault:
        latest("Condition | onset", EVER, unread=(need,))
    assert fault.value.keys == (need,)


def broken(resource: Json, **members: object) -> Chart:
    located = [(read_leniently(one), None) for one in (patient(), resource | members)]
    return Chart.of(located, Identity("p"), Vocabulary([DIALYSIS]))


def test_a_procedure_that_cannot_be_read_is_not_absent() -> None:
    procedure = next(rows("Procedure | performed\none | 2020-01-01"))
    with pytest.raises(DataUnavailable):
        EVER.read(broken(procedure, status=7), AT)


def test_a_conditions_status_that_cannot_be_read_counts_as_absent() -> None:
    condition = next(rows("Condition | onset\none | 2020-01-01"))
    assert told(EVER.read(broken(condition, clinicalStatus="resolved", verificationStatus="x"), AT)) == "True from one"


@pytest.mark.feature("Ever")
@pytest.mark.parametrize(
    ("performed", "within"),
    [
        ("2026-08-24T14:02:00Z", True),
        ("2026-08-24T14:01:59Z", False),
        ("2026-08-24", True),  # it may have been in the afternoon
        ("2026-08-23", False),
        ("2026-08", True),
        ("2026-07", False),
    ],
)
def test_a_record_lies_within_a_window_when_any_instant_of_it_may(performed: str, within: bool) -> None:
    recent = Ever(DIALYSIS, holds=lambda c, f, at: within_days(c, f, at, 90), needs=(PROCEDURES,))
    answer = recent.read(chart(f"Procedure | performed\none | {performed}"), AT)
    assert isinstance(answer, Reading if within else Missing)


@pytest.mark.feature("Ever")
@pytest.mark.parametrize(
    ("performed", "answer"),
    [
        ("2026-08-24T14:02:00Z", "True from one"),
        ("2026-08-24T14:01:59Z", "never recorded"),
        ("2026-08-24", "True from one"),  # some hour of that day is within
        ("2026-08-23", "never recorded"),
        ("2026-10", "True from one"),
        ("2026-08", "not precise enough"),
        ("2026", "not precise enough"),
        ("2026-07", "never recorded"),
    ],
)
def test_what_gives_points_must_surely_lie_within_its_window(performed: str, answer: str) -> None:
    recent = Ever(DIALYSIS, holds=lambda c, f, at: surely_within_days(c, f, at, 90), needs=(PROCEDURES,))
    assert latest(f"Procedure | performed\none | {performed}", recent) == answer
