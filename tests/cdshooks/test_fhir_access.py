"""CDS Hooks, section E: how the EHR's FHIR server is asked, and what becomes of its token."""

import asyncio
import json
import logging
import time
from collections.abc import Callable

import httpx
import pytest

from cds.cdshooks.prefetch import covers
from tests.cdshooks.charts import ID, Json, kidney
from tests.cdshooks.desk import Desk, outcome, site, without
from tests.cdshooks.ehr import BASE, TOKEN, Ehr, Fault, breaks, once, says, status

SECRET = str(TOKEN["access_token"])
ELSEWHERE = "https://elsewhere.example/fhir"


def asking(open_desk: Callable[..., Desk], ehr: Ehr, **changes: object) -> tuple[Desk, Json]:
    """A desk that may fetch, and a call that leaves it the creatinine to fetch."""
    desk = open_desk(fhir_servers=(BASE,), **changes)
    ehr.resources = kidney()
    call = without(desk.call(kidney()), "creatinine") | {"fhirServer": BASE, "fhirAuthorization": TOKEN}
    return desk, call


def refused(desk: Desk, call: Json) -> str:
    """The text of the 412 that names the creatinine; the ledger holds the same."""
    response = desk.post(call)
    assert response.status_code == 412, response.text
    issue = outcome(response)
    assert (issue["code"], issue["expression"]) == ("incomplete", ["prefetch.creatinine"])
    assert (desk.last().status, desk.last().kind, desk.last().missing) == (412, "unavailable", ("creatinine",))
    assert SECRET not in response.text
    assert ID not in issue["details"]["text"].split()
    return str(issue["details"]["text"])


def test_c52_the_token_is_nowhere_to_be_found(
    open_desk: Callable[..., Desk], ehr: Ehr, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    desk, call = asking(open_desk, ehr)
    texts = [desk.post(call).text]
    for fault in (
        status(401),
        status(500),
        breaks(httpx.ConnectError),
        says(b"{"),
        says({"resourceType": "Bundle", "entry": [{}]}),
    ):
        ehr.faults["Observation 2160-0"] = fault
        texts.append(desk.post(call | {"hookInstance": "00000000-0000-4000-8000-000000000000"}).text)
    texts.append(desk.post(call | {"fhirAuthorization": TOKEN | {"token_type": "Basic"}}).text)
    desk.ledger.close()
    stored = b"".join(path.read_bytes() for path in desk.database.parent.iterdir())
    said = capfd.readouterr()
    for sink in (*texts, caplog.text, said.out, said.err, desk.metrics(), stored.decode("latin-1")):
        assert SECRET not in sink
        assert "canary-in-an-error" not in sink
    assert "patient=p1" not in caplog.text + said.out + said.err


def test_c53_the_token_goes_to_the_fhir_server_only(open_desk: Callable[..., Desk], ehr: Ehr) -> None:
    desk, call = asking(open_desk, ehr)
    assert desk.post(call).status_code == 200
    assert ehr.seen[0].headers["authorization"] == f"Bearer {SECRET}"
    assert ehr.seen[0].headers["accept"] == "application/fhir+json"


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("where", [f"{ELSEWHERE}/Observation", f"{BASE}/Observation/2160-0-20", "/x"])
def test_c53_no_redirect_is_followed(open_desk: Callable[..., Desk], ehr: Ehr, code: int, where: str) -> None:
    desk, call = asking(open_desk, ehr)
    ehr.faults["Observation 2160-0"] = status(code, location=where)
    elsewhere = ehr.router.route(url__startswith=ELSEWHERE).respond(200)
    assert f"answered {code}" in refused(desk, call)
    assert (elsewhere.call_count, len(ehr.seen)) == (0, 1)


@pytest.mark.parametrize(
    "link",
    [
        f"{ELSEWHERE}/Observation?page=2",
        "http://ehr.example/fhir/next",
        "https://ehr.example:8443/next",
        "//elsewhere.example/x",
        "https://ehr.example@elsewhere.example/",
        "https://user:pw@ehr.example/fhir/next",
        "https://[bad/next",
        "https://ehr.example:x/",
        "file:///etc/passwd",
        "http://169.254.169.254/latest",
        "javascript:alert(1)",
        "https://ehr.example.elsewhere.example/",
    ],
)
def test_c53_a_next_page_elsewhere_is_refused(open_desk: Callable[..., Desk], ehr: Ehr, link: str) -> None:
    desk, call = asking(open_desk, ehr)
    ehr.faults["Observation 2160-0"] = says({"resourceType": "Bundle", "link": [{"relation": "next", "url": link}]})
    assert "next page" in refused(desk, call)
    assert len(ehr.seen) == 1


@pytest.mark.parametrize(
    "server",
    [
        ELSEWHERE,
        "http://ehr.example/fhir",
        f"{BASE}/../other",
        f"{BASE}?x=1",
        "https://ehr.example/fhi",
        "https://169.254.169.254/",
        "file:///etc",
        "https://user@ehr.example/fhir",
        "not a url",
    ],
)
def test_c53_a_server_that_the_site_does_not_name_is_not_asked(
    open_desk: Callable[..., Desk], ehr: Ehr, server: str
) -> None:
    desk, call = asking(open_desk, ehr)
    assert "not one of this site's FHIR servers" in refused(desk, call | {"fhirServer": server})
    assert ehr.seen == []


@pytest.mark.parametrize("server", [f"{BASE}/", "HTTPS://EHR.example/fhir", "https://ehr.example:443/fhir/"])
def test_c53_a_slash_a_default_port_and_the_hosts_case_make_no_other_server(
    open_desk: Callable[..., Desk], ehr: Ehr, server: str
) -> None:
    desk, call = asking(open_desk, ehr)
    assert desk.post(call | {"fhirServer": server}).status_code == 200


@pytest.mark.proves("R13", "expires_in of 0 or less: 0 requests, 412")
@pytest.mark.parametrize("seconds", [0, -1])
def test_c55_an_expired_token_is_not_used(open_desk: Callable[..., Desk], ehr: Ehr, seconds: int) -> None:
    desk, call = asking(open_desk, ehr)
    call["fhirAuthorization"] = TOKEN | {"expires_in": seconds}
    assert "the access token has expired" in refused(desk, call)
    assert ehr.seen == []


@pytest.mark.proves("R13", "14 scopes read before fetching")
@pytest.mark.parametrize(
    ("scope", "resource_type", "may"),
    [
        ("patient/*.read", "Observation", True),
        ("patient/Observation.read", "Observation", True),
        ("user/*.*", "Condition", True),
        ("patient/Patient.read launch", "Observation", False),
        ("patient/Observation.rs", "Observation", True),
        ("patient/Observation.cruds", "Observation", True),
        ("patient/Observation.r", "Observation", False),
        ("patient/Patient.r", "Patient", True),
        ("patient/*.write", "Observation", False),
        ("patient/*.c", "Observation", False),
        ("patient/Observation.rs?category=laboratory", "Observation", False),
        ("patient/Observation.rs?category=laboratory patient/Observation.rs", "Observation", True),
        ("openid fhirUser", "Observation", True),
        ("", "Observation", True),
        ("system/Condition.read patient/Observation.read", "Condition", True),
    ],
)
def test_c55_the_scope_is_read_before_fetching(scope: str, resource_type: str, may: bool) -> None:
    assert covers(scope, resource_type) is may


def test_c55_a_scope_without_the_type_is_not_tried(open_desk: Callable[..., Desk], ehr: Ehr) -> None:
    desk, call = asking(open_desk, ehr)
    call["fhirAuthorization"] = TOKEN | {"scope": "patient/Patient.read patient/Condition.read"}
    assert "scope has no Observation" in refused(desk, call)
    assert ehr.seen == []


def test_r13_a_token_is_not_used_beyond_its_time(open_desk: Callable[..., Desk]) -> None:
    slow = Slow(30)
    desk = open_desk(site(transport=slow, fhir_servers=(BASE,), fetch_seconds=5))
    token = TOKEN | {"expires_in": 1}
    call = without(desk.call(kidney()), "creatinine") | {"fhirServer": BASE, "fhirAuthorization": token}
    started = time.perf_counter()
    assert desk.post(call).status_code == 412
    assert time.perf_counter() - started < 2
    assert slow.calls == 1


@pytest.mark.proves("R13", "fhirAuthorization.patient of another: 412 before anything is asked, 8 of 8 spellings")
@pytest.mark.parametrize("patient", ["p2", "P1", "p1 ", "Patient/p1", "", "p1/_history/1", "p", "p11"])
def test_r13_a_token_for_another_patient_refuses_the_call(
    open_desk: Callable[..., Desk], ehr: Ehr, patient: str
) -> None:
    desk, call = asking(open_desk, ehr)
    for body in (call, desk.call(kidney()) | {"fhirServer": BASE}):
        response = desk.post(body | {"fhirAuthorization": TOKEN | {"patient": patient}})
        assert (response.status_code, outcome(response)["code"]) == (412, "conflict")
        assert outcome(response)["expression"] == ["fhirAuthorization.patient"]
    assert ehr.seen == []


FAULTS: dict[str, tuple[Fault, str, int]] = {
    "401": (status(401), "answered 401", 1),
    "403": (status(403), "answered 403", 1),
    "404": (status(404), "answered 404", 1),
    "429": (status(429), "answered 429", 1),
    "204": (lambda _: httpx.Response(204), "answered 204", 1),
    "500": (status(500), "answered 500", 2),
    "503": (status(503), "answered 503", 2),
    "refused": (breaks(httpx.ConnectError), "ConnectError", 2),
    "timeout": (breaks(httpx.ReadTimeout), "ReadTimeout", 2),
    "cut off": (breaks(httpx.RemoteProtocolError), "RemoteProtocolError", 2),
    "not JSON": (says(b"<html>"), "cannot be read", 1),
    "empty": (says(b""), "cannot be read", 1),
    "array": (says(b"[]"), "cannot be read", 1),
    "not UTF-8": (says(b'{"resourceType":"\xff"}'), "cannot be read", 1),
    "deep": (says(b'{"a":' * 5000 + b"1" + b"}" * 5000), "", 1),
    "outcome": (says({"resourceType": "OperationOutcome", "issue": [{"severity": "error"}]}), "could not fetch it", 1),
    "outcome in it": (
        says(
            {
                "resourceType": "Bundle",
                "entry": [{"resource": {"resourceType": "OperationOutcome", "issue": [{"severity": "fatal"}]}}],
            }
        ),
        "could not fetch it",
        1,
    ),
    "another type": (says({"resourceType": "Patient", "id": "p1"}), "is expected", 1),
    "too large": (says(b'{"resourceType":"Bundle"' + b" " * (8 * 1024 * 1024) + b"}"), "too large", 1),
    "not gzip": (
        lambda _: httpx.Response(200, content=b"x", headers={"content-encoding": "gzip"}),
        "cannot be read",
        1,
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_c55_a_fault_of_the_ehr_is_412_with_its_reason(open_desk: Callable[..., Desk], ehr: Ehr, fault: str) -> None:
    desk, call = asking(open_desk, ehr)
    ehr.faults["Observation 2160-0"], reason, tries = FAULTS[fault]
    assert reason in refused(desk, call)
    assert len(ehr.seen) == tries


def test_c55_a_failed_read_is_tried_once_more(open_desk: Callable[..., Desk], ehr: Ehr) -> None:
    desk, call = asking(open_desk, ehr)
    bundle = desk.call(kidney())["prefetch"]["creatinine"]
    ehr.faults["Observation 2160-0"] = once(status(503), says(bundle))
    assert desk.post(call).status_code == 200
    assert len(ehr.seen) == 2


def test_c55_pages_without_end_are_refused(open_desk: Callable[..., Desk], ehr: Ehr) -> None:
    desk, call = asking(open_desk, ehr)
    ehr.faults["Observation"] = says(
        {"resourceType": "Bundle", "link": [{"relation": "next", "url": f"{BASE}/Observation?code=2160-0"}]}
    )
    assert "too many pages" in refused(desk, call)
    assert len(ehr.seen) == 50


def test_c55_someone_else_in_what_was_fetched_refuses_the_call(open_desk: Callable[..., Desk], ehr: Ehr) -> None:
    desk, call = asking(open_desk, ehr)
    ehr.faults["Observation 2160-0"] = says({"resourceType": "Bundle", "entry": [{"resource": kidney(of="p2")[1]}]})
    response = desk.post(call)
    assert (response.status_code, outcome(response)["code"]) == (412, "conflict")


class Slow(httpx.AsyncBaseTransport):
    """A FHIR server that answers each search after some seconds, and counts how many it serves at once."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.at_once, self.most, self.calls = seconds, 0, 0, 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.calls += 1
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        try:
            await asyncio.sleep(self.seconds)
        finally:
            self.at_once -= 1
        return httpx.Response(200, content=json.dumps({"resourceType": "Bundle"}))


def test_c56_the_time_for_fetching_ends(open_desk: Callable[..., Desk]) -> None:
    slow = Slow(30)
    desk = open_desk(site(transport=slow, fhir_servers=(BASE,), fetch_seconds=0.3))
    call = without(desk.call(kidney()), "creatinine", "uacr") | {"fhirServer": BASE}
    started = time.perf_counter()
    response = desk.post(call)
    assert time.perf_counter() - started < 2
    assert (response.status_code, outcome(response)["expression"]) == (412, ["prefetch.creatinine", "prefetch.uacr"])


def test_c56_no_more_than_six_are_asked_at_once(open_desk: Callable[..., Desk]) -> None:
    slow = Slow(0.05)
    desk = open_desk(site(transport=slow, fhir_servers=(BASE,)))
    desk.post(desk.call(kidney()) | {"prefetch": {}, "fhirServer": BASE})
    assert (slow.most, slow.calls) == (6, 10)


def test_c56_an_optional_key_that_is_fetched_in_vain_costs_no_card(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk(site(transport=Slow(30), fhir_servers=(BASE,), fetch_seconds=0.6, answer_seconds=0.4))
    call = without(desk.call(kidney(chronic=False)), "upcr") | {"fhirServer": BASE}
    response = desk.post(call)
    assert response.status_code == 200
    assert desk.post(call).status_code == 200
    assert [answer.repeats for answer in desk.answers()] == [0, 0]
