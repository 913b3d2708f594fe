"""What the cardiovascular models read of a chart on their own: diabetes from HbA1c, and a site's own deciles."""

import pytest

from cds import Feature, Missing
from cds.errors import DataUnavailable
from cds.fhir.codes import Vocabulary
from models._heart.inputs import Diabetes, Heart
from models.prevent.inputs import Prevent, SocialDeprivation, variant_of
from tests.spec.charts import AT, chart, told

SNOMED, DECILE = "http://snomed.info/sct", "urn:bedside:feature|sdi_decile"
KNOWN = Vocabulary([*Prevent.code_sets(), *SocialDeprivation(sent=True).codes])
TYPE_2 = f"Condition | code | clinical\ndm | {SNOMED}|44054006 | active"


def hba1c(*rows: str) -> str:
    """Lines of id, effective time, value, unit."""
    return "\n".join(["Observation | code | effective | value | unit", *(_hba1c(row) for row in rows)])


def _hba1c(row: str) -> str:
    name, rest = row.split(" | ", 1)
    return f"{name} | 4548-4 | {rest}"


def answer(feature: Feature, *tables: str, unread: tuple[str, ...] = ()) -> str:  # type: ignore[type-arg]
    return told(feature.read(chart(*tables, vocabulary=KNOWN, unread=unread), AT))


@pytest.mark.parametrize(
    ("tables", "expected"),
    [
        ((), "never recorded"),
        ((TYPE_2,), "True from dm"),
        ((TYPE_2.replace("active", "resolved"),), "never recorded"),
        ((hba1c("a | 2026-05-01 | 6.5 | %"),), "never recorded"),
        ((hba1c("a | 2026-05-01 | 6.5 | %", "b | 2026-08-01 | 6.9 | %"),), "True from b"),
        ((hba1c("a | 2026-05-01 | 6.4 | %", "b | 2026-08-01 | 6.9 | %"),), "never recorded"),
        ((hba1c("a | 2026-08-01T08:00:00Z | 6.5 | %", "b | 2026-08-01T09:00:00Z | 6.9 | %"),), "never recorded"),
        ((hba1c("a | 2026-05-01 | 48 | mmol/mol", "b | 2026-08-01 | 52 | mmol/mol"),), "True from b"),
        ((hba1c("a | 2026-05-01 | 48 | %", "b | 2026-08-01 | 6.9 | %"),), "never recorded"),
        ((hba1c("a | 2026-05-01 | 7.1 | %", "b | 2027-08-01 | 6.9 | %"),), "never recorded"),
        ((TYPE_2, hba1c("a | 2026-05-01 | 5.1 | %")), "True from dm"),
    ],
)
def test_diabetes_is_an_active_diagnosis_or_a_high_hba1c_on_two_days(tables: tuple[str, ...], expected: str) -> None:
    assert answer(Diabetes(), *tables) == expected


def test_what_was_not_read_is_not_absent() -> None:
    with pytest.raises(DataUnavailable):
        answer(Diabetes(), unread=("conditions",))
    twice = hba1c("a | 2026-05-01 | 6.5 | %", "b | 2026-08-01 | 6.9 | %")
    assert answer(Diabetes(), twice, unread=("hba1c",)) == "never recorded"  # the diagnoses were read
    for need in ("medications", "total_cholesterol", "sbp", "encounters"):
        with pytest.raises(DataUnavailable):
            Heart.read(chart(vocabulary=KNOWN, unread=(need,), birthDate="1970-01-01"), AT)


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ("2026-01-01 | 7 | ", "7 from d"),
        ("2026-01-01 | 1 | ", "1 from d"),
        ("2026-01-01 | 10 | ", "10 from d"),
        ("2026-01-01 | 0 | ", "implausible"),
        ("2026-01-01 | 11 | ", "implausible"),
        ("2026-01-01 | 6.5 | ", "implausible"),
        ("2026-01-01 | 7 | %", "implausible"),
        ("2026-01-01 |  | ", "no value"),
        ("2027-01-01 | 7 | ", "never recorded"),
        (" | 7 | ", "never recorded"),
    ],
)
def test_a_decile_is_a_whole_number_without_a_unit(cells: str, expected: str) -> None:
    table = f"Observation | code | effective | value | unit\nd | {DECILE} | {cells}"
    assert answer(SocialDeprivation(sent=True), table) == expected
    assert answer(SocialDeprivation(), table) == "not read"


def test_the_newest_decile_counts_and_an_error_does_not() -> None:
    table = (
        "Observation | code | effective | value | status\n"
        f"old | {DECILE} | 2020-01-01 | 3 | final\n"
        f"new | {DECILE} | 2025-01-01 | 8 | final\n"
        f"wrong | {DECILE} | 2026-01-01 | 9 | entered-in-error"
    )
    assert answer(SocialDeprivation(sent=True), table) == "8 from new"


def test_the_address_is_not_read() -> None:
    somewhere = chart(vocabulary=KNOWN, address=[{"postalCode": "02115", "country": "US"}], birthDate="1970-01-01")
    row = Prevent.read(somewhere, AT)
    assert isinstance(row.sdi, Missing)
    assert variant_of(row, "richest") == "base"
