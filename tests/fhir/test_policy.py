"""Which records a site does not answer: merged, inactive, a test's, and what is marked as restricted."""

import json
from typing import Any

import pytest

from cds.cdshooks.outcomes import operation_outcome, status_of
from cds.cdshooks.prefetch import Reach, fill
from cds.cdshooks.wire import read_call
from cds.errors import NotForUse
from cds.features.needs import template
from cds.fhir.chart import Chart
from cds.fhir.codes import Vocabulary
from cds.fhir.identity import Identity
from cds.fhir.policy import Policy
from cds.fhir.resources import read_leniently
from tests.cdshooks.charts import ID, Json, kidney, lab, person, request
from tests.cdshooks.desk import SERVICE, site

CONFIDENTIALITY = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
REASON = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
MERGED: Json = {"link": [{"other": {"reference": "Patient/p9"}, "type": "replaced-by"}]}
ANSWER_ALL = Policy(merged="answer", test_patients="answer", restricted="answer")


def labelled(code: str, system: str | None = CONFIDENTIALITY, **others: Any) -> Json:
    return {"meta": {"security": [{"code": code} | ({"system": system} if system else {})], **others}}


def chart(policy: Policy | None, *resources: Json) -> Chart:
    located = [(read_leniently(one), None) for one in resources]
    return Chart.of(located, Identity(ID), Vocabulary(()), policy=policy)


def answered(policy: Policy | None, *resources: Json) -> bool:
    return chart(policy, *resources).person.source == f"Patient/{ID}"


def refusal(policy: Policy, *resources: Json) -> str:
    """Why the record is refused; the same one is answered where the site says so, or has no policy."""
    with pytest.raises(NotForUse) as refused:
        chart(policy, *resources)
    assert status_of(refused.value) == 412
    assert operation_outcome(refused.value)["issue"][0]["code"] == "business-rule"
    for lenient in (ANSWER_ALL, None):
        assert answered(lenient, *resources)
    return refused.value.message


def test_a_merged_record_is_refused_and_says_what_to_do() -> None:
    told = refusal(Policy(), person(**MERGED))
    assert told == "this record was merged into another; open the surviving record"
    assert refusal(Policy(), person(active=True, **MERGED)) == told


def test_a_record_that_is_not_in_active_use_is_refused() -> None:
    assert "not in active use" in refusal(Policy(), person(active=False))


@pytest.mark.parametrize("died", [{"deceasedBoolean": True}, {"deceasedDateTime": "2026-08-19"}])
def test_the_closed_record_of_a_patient_who_died_is_told_by_her_death(died: Json) -> None:
    assert answered(Policy(), person(active=False, **died))
    assert "not in active use" in refusal(Policy(), person(active=False, deceasedBoolean=False))


@pytest.mark.parametrize("active", ["false", 0, [False]])
def test_an_active_that_cannot_be_read_is_a_doubt(active: Any) -> None:
    assert "not in active use" in refusal(Policy(), person(active=active))


def test_links_that_cannot_be_read_are_a_doubt() -> None:
    assert "merged" in refusal(Policy(), person(link={"type": "replaced-by"}))


@pytest.mark.parametrize(
    "members",
    [{}, {"active": True}, {"active": None}, {"link": [{"other": {"reference": "Patient/p0"}, "type": "replaces"}]},
     {"link": [{"other": {"reference": "Patient/p2"}, "type": "seealso"}]}, {"link": []}],
)  # fmt: skip
def test_a_record_in_use_is_answered(members: Json) -> None:
    assert answered(Policy(), person(**members))


def test_the_inactive_record_that_was_replaced_does_not_spoil_the_surviving_one() -> None:
    surviving = person(link=[{"other": {"reference": "Patient/p0"}, "type": "replaces"}])
    old = person(of="p0", active=False, link=[{"other": {"reference": "Patient/p1"}, "type": "replaced-by"}])
    assert answered(Policy(), old, surviving)


def test_a_test_patient_is_refused_only_where_the_site_says_so() -> None:
    patient = person(**labelled("HTEST", REASON))
    assert answered(Policy(), patient)
    assert "test patient" in refusal(Policy(test_patients="refuse"), patient)


@pytest.mark.parametrize("code", ["R", "V"])
@pytest.mark.parametrize(
    "system",
    [CONFIDENTIALITY, "http://hl7.org/fhir/v3/Confidentiality", "urn:oid:2.16.840.1.113883.5.25", None],
)
def test_a_restricted_resource_is_refused_by_its_type_only(code: str, system: str | None) -> None:
    result = lab("2160-0", 1.7, "mg/dL", id="canary-id", **labelled(code, system))
    told = refusal(Policy(), person(), result)
    assert told == "an Observation of this record is marked as restricted, and this site does not use those"


def test_a_restricted_patient_is_refused() -> None:
    assert refusal(Policy(), person(**labelled("V"))).startswith("a Patient ")


def test_a_type_from_the_wire_is_not_repeated() -> None:
    odd = {"resourceType": "Canary", "id": "o", "subject": {"reference": f"Patient/{ID}"}} | labelled("R")
    assert refusal(Policy(), person(), odd).startswith("a resource ")


def test_a_label_whose_name_is_escaped_is_read() -> None:
    text = json.dumps(person() | labelled("R")).replace("security", "secur\\u0069ty")
    with pytest.raises(NotForUse):
        Chart.of([(read_leniently(text.encode()), None)], Identity(ID), Vocabulary(()), policy=Policy())


def test_a_label_that_cannot_be_read_is_a_doubt() -> None:
    assert "cannot be read" in refusal(Policy(), person(), lab("1", 1, "mg/dL", meta={"security": "R"}))


@pytest.mark.parametrize(
    "meta",
    [{"security": []}, {"security": [{"system": CONFIDENTIALITY, "code": "N"}]}, {"security": None}, {},
     {"security": [{"system": "http://elsewhere.example/colours", "code": "R"}]},
     {"profile": ["http://ehr.example/security"]}, {"security": [{"display": "restricted"}]}],
)  # fmt: skip
def test_other_labels_are_answered(meta: Json) -> None:
    assert answered(Policy(), person(meta=meta), lab("1", 1, "mg/dL", meta=meta))


async def test_a_page_that_is_marked_is_refused_with_all_it_holds() -> None:
    service = site().services[SERVICE]
    templates = {need.key: template(need, service.vocabulary) for need in service.needs}
    body = request(kidney(), templates)
    body["prefetch"]["creatinine"] |= labelled("R")
    call = read_call(json.dumps(body).encode(), service.hooks, asked=service.keys)
    with pytest.raises(NotForUse, match="a resource of this record is marked as restricted"):
        await fill(call, service.needs, service.vocabulary, Reach(policy=Policy()))
    filled = await fill(call, service.needs, service.vocabulary, Reach())
    assert filled.chart.person.source == f"Patient/{ID}"
