"""A result that also carries an excluded code keeps its place in time and cannot be used."""

import pytest

from cds.features.labs import LAB_CODES
from cds.fhir.codes import CodeSet, Entry, Vocabulary
from cds.fhir.facts import facts_of
from cds.fhir.resources import Resource, read_leniently

VOCABULARY = Vocabulary(LAB_CODES.values())


def observation(*codes: str) -> Resource:
    coding = [{"system": "http://loinc.org", "code": code} for code in codes]
    return read_leniently({"resourceType": "Observation", "id": "o", "code": {"coding": coding}})


def said(resource: Resource, vocabulary: Vocabulary) -> set[str]:
    """The sets of a resource, each with what keeps its result from being used."""
    return {f"{name}: {fact.problem}" if fact.problem else name for name, fact in facts_of(resource, vocabulary)}


@pytest.mark.parametrize(
    ("codes", "sets"),
    [
        (["62238-1"], {"egfr_method_unknown"}),
        (["62238-1", "88293-6"], {"egfr_method_unknown: other test"}),  # the "black" twin of a CKD-EPI 2009 result
        (["48643-1", "33914-3"], {"egfr_never_for_risk: other test"}),
        (["98979-8", "33914-3"], {"egfr: other test", "egfr_never_for_risk"}),  # what never scores, never scores
        (["2160-0"], {"creatinine"}),
        (["2160-0", "11041-1"], {"creatinine: other test"}),  # after dialysis
        (["9318-7", "2889-4"], {"uacr: other test"}),  # 24 h protein is no albumin ratio
        (["9318-7", "14959-1"], {"uacr"}),
        (["88293-6"], set()),
    ],
)
def test_an_excluded_code_wins(codes: list[str], sets: set[str]) -> None:
    for order in (codes, codes[::-1]):
        assert said(observation(*order), VOCABULARY) == sets


def test_what_is_barred_from_one_set_still_counts_in_another() -> None:
    dialysis = CodeSet("dialysis_labs", [Entry("loinc", "11041-1")])
    vocabulary = Vocabulary([*LAB_CODES.values(), dialysis])
    assert said(observation("2160-0", "11041-1"), vocabulary) == {"creatinine: other test", "dialysis_labs"}
    assert said(observation("11041-1"), vocabulary) == {"dialysis_labs"}
