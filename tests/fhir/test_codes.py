"""Which code means which set: system and code together, the longest prefix, ranges, exceptions; memory is bounded."""

import pytest

from cds.fhir.codes import FEATURE_SYSTEM, URIS, CodeSet, Entry, Vocabulary, system_named
from models._kidney.codes import CODES

PREGNANCY = CodeSet(
    "pregnancy",
    [Entry("icd10cm", "O", "prefix"), Entry("icd10cm", "O90", "except"), Entry("icd10cm", "O90.4", "prefix")],
)


@pytest.mark.parametrize(
    ("code", "held"),
    [
        ("O10", True), ("O10.111", True), ("o10111", True), ("O90", False), ("O90.3", False), ("O90.4", True),
        ("O90.41", True), ("O904", True), ("N18", False), ("", False),
    ],
)  # fmt: skip
def test_the_longest_prefix_wins(code: str, held: bool) -> None:
    assert PREGNANCY.holds("icd10cm", code) is held
    assert not PREGNANCY.holds("icd10who", code)


@pytest.mark.parametrize(
    ("code", "held"),
    [("90950", False), ("90951", True), ("90960", True), ("90970", True), ("90971", False), ("9096", False),
     ("909600", False)],
)  # fmt: skip
def test_a_range_is_inclusive_and_of_equal_length(code: str, held: bool) -> None:
    assert CodeSet("monthly", [Entry("cpt", "90951-90970", "range")]).holds("cpt", code) is held


def test_everything_else_is_exact() -> None:
    kidney = CodeSet("kidney", [Entry("snomed", "46177005"), Entry("loinc", "2160-0")])
    assert kidney.holds("snomed", "46177005")
    assert not kidney.holds("snomed", "461770051")
    assert not kidney.holds("loinc", "46177005")
    assert not kidney.holds("loinc", "2160-01")


def test_an_exact_code_stands_against_an_exception() -> None:
    mixed = CodeSet(
        "mixed", [Entry("icd10cm", "N18", "except"), Entry("icd10cm", "N18.6"), Entry("icd10cm", "N", "prefix")]
    )
    assert [mixed.holds("icd10cm", code) for code in ("N17", "N18.5", "N18.6", "N186")] == [True, False, True, True]


def test_a_prefix_that_is_both_meant_and_not_meant_is_not() -> None:
    torn = CodeSet("torn", [Entry("icd10cm", "N18", "prefix"), Entry("icd10cm", "N18", "except")])
    assert not torn.holds("icd10cm", "N18.3")


def test_403_is_two_things() -> None:
    disease = CodeSet("disease", [Entry("icd9cm", "403", "prefix")])
    excision = CodeSet("excision", [Entry("icd9proc", "40.3", "prefix")])
    vocabulary = Vocabulary([disease, excision])
    for system in URIS["icd9cm"]:
        assert vocabulary.sets_of(system, "403.91") == ("disease",)
    for system in URIS["icd9proc"]:
        assert vocabulary.sets_of(system, "403") == ("excision",)
    strangers = (None, "", "http://loinc.org", "http://hl7.org/fhir/sid/icd-9-cm/", "urn:other")
    for stranger in strangers:
        assert vocabulary.sets_of(stranger, "403") == ()


def test_every_uri_names_one_system() -> None:
    uris = [uri for many in URIS.values() for uri in many]
    assert len(uris) == len(set(uris))
    assert [system_named(uri) for uri in URIS["snomed"]] == ["snomed", "snomed"]


@pytest.mark.parametrize("code", ["N18.6", "N186", "n18.6", "n186"])
def test_undotted_and_small_letters_are_one_code(code: str) -> None:
    assert CODES["esrd"].holds("icd10cm", code)


def test_a_site_names_a_feature_by_its_own_system() -> None:
    assert Vocabulary([PREGNANCY]).sets_of(FEATURE_SYSTEM, "pregnancy") == ("pregnancy",)
    assert Vocabulary([PREGNANCY]).sets_of(FEATURE_SYSTEM, "other") == ()


def test_a_local_code_counts_once_and_for_known_sets_only() -> None:
    local = {
        ("urn:lab", "P"): "pregnancy",
        ("http://hl7.org/fhir/sid/icd-10-cm", "O10"): "pregnancy",
        ("", "Q"): "gone",
    }
    vocabulary = Vocabulary([PREGNANCY], local)
    assert vocabulary.sets_of("urn:lab", "P") == ("pregnancy",)
    assert vocabulary.sets_of("http://hl7.org/fhir/sid/icd-10-cm", "O10") == ("pregnancy",)
    assert vocabulary.sets_of(None, "Q") == ()


def test_the_wire_does_not_decide_how_much_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Vocabulary, "_LIMIT", 100)
    vocabulary = Vocabulary([PREGNANCY])
    for number in range(1_000):
        assert vocabulary.sets_of("http://hl7.org/fhir/sid/icd-10-cm", f"O{number}") == ("pregnancy",) or number >= 90
        assert len(vocabulary._known) <= 100
    before = len(vocabulary._known)
    assert vocabulary.sets_of("http://hl7.org/fhir/sid/icd-10-cm", "O1" + "0" * 10_000) == ("pregnancy",)
    assert vocabulary.sets_of("x" * 10_000, "O1") == ()
    assert len(vocabulary._known) == before
