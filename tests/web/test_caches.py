"""What may be answered from memory: an identical, fully prefetched call of the same tenant, and nothing else."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.cdshooks.charts import Json, kidney, request
from tests.cdshooks.desk import Desk, site, without
from tests.cdshooks.ehr import BASE, TOKEN, Ehr
from tests.trust.ehr import BASE as OURS
from tests.web.clinic import CLINIC, HOSPITAL, Clinic, Signer, clinic, hospital


@pytest.fixture
def two(open_desk: Callable[..., Desk]) -> Clinic:
    stricter = {"models": {"kfre": {"referral_percent": 3}}}
    return Clinic(open_desk, hospital(fhir_base=BASE), clinic(**stricter))


def body(two: Clinic, **members: Any) -> Json:
    listed = two.desk.http.get("/cds-services", headers=two.hospital.headers("/cds-services")).json()
    return request(kidney(), listed["services"][0]["prefetch"], **members)


@pytest.mark.proves("R33", "the same bytes from two tenants: two answers, each by its own threshold")
def test_r33_the_same_call_of_two_tenants_is_two_calls(two: Clinic) -> None:
    sent = body(two)
    summaries = [two.post(sent, by).json()["cards"][0]["summary"] for by in (two.hospital, two.clinic)]
    assert ["5% referral" in summaries[0], "3% referral" in summaries[1]] == [True, True]
    assert [(a.tenant, a.repeats) for a in two.desk.answers()] == [(HOSPITAL, 0), (CLINIC, 0)]


@pytest.mark.proves("R47", "one tenant's identical call three times: one answer, two repeats")
def test_r47_one_tenants_identical_call_is_one_answer(two: Clinic) -> None:
    sent = body(two)
    cards = [two.post(sent, two.hospital).content for _ in range(3)]
    assert len(set(cards)) == 1
    assert [(a.tenant, a.repeats) for a in two.desk.answers()] == [(HOSPITAL, 2)]


@pytest.mark.proves("R33", "a fetched answer is never replayed, whichever token reads: 2 calls, 2 fetches, 2 answers")
def test_r33_what_was_read_with_one_token_answers_no_other(two: Clinic, ehr: Ehr) -> None:
    ehr.resources = kidney()
    sent = without(body(two), "uacr") | {"fhirServer": BASE}

    def read_with(token: str, by: Signer) -> int:
        before = len(ehr.seen)
        assert two.post(sent | {"fhirAuthorization": TOKEN | {"access_token": token}}, by).status_code == 200
        return len(ehr.seen) - before

    assert [read_with(token, two.hospital) for token in ("first-token", "second-token")] == [1, 1]
    assert [request.headers["authorization"] for request in ehr.seen] == ["Bearer first-token", "Bearer second-token"]
    assert len(two.desk.answers()) == 2


@pytest.mark.proves("R33", "a corrected unit table and withdrawn actions: the identical call is answered anew")
@pytest.mark.parametrize(
    "changed", [{"units": {"http://loinc.org|9318-7": {"mg/g": "mg/mmol"}}}, {"actions": ["update"]}], ids=list("ab")
)
def test_r33_a_site_that_was_corrected_does_not_repeat_its_old_answer(two: Clinic, changed: Json) -> None:
    sent = body(two)
    before = two.post(sent, two.hospital).content
    tables = (hospital(fhir_base=BASE, **changed), clinic())
    two.desk.state.swap(site(trust="clients", public_url=OURS, clients=tables))
    assert two.post(sent, two.hospital).content != before
    assert [answer.repeats for answer in two.desk.answers()] == [0, 0]
