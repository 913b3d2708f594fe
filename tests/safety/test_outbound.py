"""Nothing leaves us but to the registered server: no socket, no redirect, no link, no token (R9, R10, R11)."""

import asyncio
import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from cds.cdshooks.answer import Answer, Deployed, answer
from cds.errors import DataUnavailable, WriteRefused
from cds.features.needs import template
from cds.fhir.client import FhirClient
from cds.fhir.origins import same_base
from tests.cdshooks.charts import AT, Json, kidney, request
from tests.cdshooks.desk import SERVICE, site, without
from tests.cdshooks.ehr import TOKEN
from tests.fhir.loopback import Loopback, Reply

BASE = "https://ehr.example/fhir"
SECRET = f"Bearer {TOKEN['access_token']}"

_opened: list[str] | None = None


def _hear(event: str, args: tuple[Any, ...]) -> None:
    if _opened is not None and event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname"):
        _opened.append(event)


@pytest.fixture(scope="module")
def audit() -> None:
    """The interpreter tells of every socket from here on; an audit hook cannot be taken out again."""
    sys.addaudithook(_hear)


@pytest.fixture
def sockets(audit: None) -> Iterator[list[str]]:
    """Every connection and every name asked for while the test runs."""
    global _opened  # noqa: PLW0603 - the hook outlives the test
    opened: list[str] = []
    _opened = opened
    yield opened
    _opened = None


def deployed(base: str) -> Deployed:
    return site(fhir_servers=(base,)).services[SERVICE]


@pytest.fixture(scope="module")
def registered() -> Deployed:
    return deployed(BASE)


def call(service: Deployed, *absent: str, **members: Any) -> bytes:
    templates = {need.key: template(need, service.vocabulary) for need in service.needs}
    return json.dumps(without(request(kidney(), templates), *absent) | members).encode()


def told(service: Deployed, body: bytes) -> Answer:
    return asyncio.run(answer(service, body, AT))


HOSTILE = [
    "http://169.254.169.254/latest/meta-data", "https://169.254.169.254/fhir", "https://[::1]/fhir", "http://127.0.0.1/",
    "https://[::ffff:169.254.169.254]/fhir", "https://[::ffff:a9fe:a9fe]/fhir", "https://[64:ff9b::a9fe:a9fe]/fhir",
    "https://[fd00:ec2::254]/fhir", "https://2852039166/fhir", "https://0xa9fea9fe/fhir", "https://0251.0376.0251.0376/",
    "https://169.254.43518/fhir", "https://0/fhir", "https://0.0.0.0/fhir", "https://localhost/fhir",
    "https://user@ehr.example/fhir", "https://ehr.example@elsewhere.example/fhir", "https://ehr.example:pw@127.0.0.1/fhir",
    "https://ehr.example#@elsewhere.example/fhir", "https://ehr.example/fhir#", "https://ehr.example/fhir?x=1",
    "https://elsewhere.example\\@ehr.example/fhir", "https:\\\\ehr.example\\fhir", "https://ehr.example\\.elsewhere.example/",
    "https://\u0435hr.example/fhir", "https://xn--hr-3lc.example/fhir", "https://ehr.ex\u0430mple/fhir",
    "https://ehr\u3002example/fhir", "https://\uff45hr.example/fhir", "https://ehr.example:8443/fhir",
    "https://ehr.example:/fhir", "https://ehr.example:0443/fhir", "https://ehr.example:99999/fhir",
    "http://ehr.example/fhir", "http://ehr.example:443/fhir", "https://ehr.example./fhir", "https://.ehr.example/fhir",
    "https://ehr..example/fhir", "https://ehr.example.elsewhere.example/fhir", "https://notehr.example/fhir",
    "https://ehr.example/fhir/%2e%2e/admin", "https://ehr.example/%66hir", "https://ehr%2eexample/fhir",
    "https://ehr.example/fhir/../admin", "https://ehr.example/fhir/./", "https://ehr.example/fhir//",
    "https://ehr.example//fhir", "https://ehr.example/FHIR", "https://ehr.example/fhi", "https://ehr.example/fhir2",
    "https://ehr.example", "https://ehr.example/\tfhir", "https://ehr.\nexample/fhir", "https://ehr.example/fhir\r\n",
    " https://ehr.example/fhir", "https://ehr.example /fhir", "https://ehr.example/fhir\x00", "//ehr.example/fhir",
    "https:ehr.example/fhir", "https:///ehr.example/fhir", "ehr.example/fhir", "file:///etc/passwd", "gopher://ehr.example/",
    "https://[::ffff:127.0.0.1%25eth0]/fhir", "https://[/fhir", "javascript:alert(1)", "https://ehr.example;x/fhir",
]  # fmt: skip


@pytest.mark.proves("R9", "67 hostile fhirServer values, 0 sockets opened, 0 names resolved, 67 answers of 412")
def test_no_socket_opens_for_a_server_that_is_not_registered(registered: Deployed, sockets: list[str]) -> None:
    assert len(HOSTILE) == len(set(HOSTILE)) == 67
    for number, server in enumerate(HOSTILE):
        for absent in (("creatinine",), ()):  # something to fetch, and nothing
            said = told(registered, call(registered, *absent, fhirServer=server, fhirAuthorization=TOKEN))
            assert (said.status, said.cards, said.fetched) == (412, [], False), f"value {number}"
            assert str(TOKEN["access_token"]) not in said.body.decode()
        assert not same_base(server, BASE), f"value {number}"
    assert sockets == []


def test_the_socket_of_the_registered_server_is_counted(sockets: list[str]) -> None:
    with Loopback() as ehr:
        service = deployed(ehr.base)
        said = told(service, call(service, "creatinine", fhirServer=ehr.base, fhirAuthorization=TOKEN))
    assert said.status == 412
    assert [one.path.partition("?")[0] for one in ehr.seen] == ["/fhir/Observation"]
    assert "socket.connect" in sockets


@pytest.mark.parametrize(
    ("sent", "base"),
    [
        (BASE, BASE),
        (f"{BASE}/", BASE),
        (BASE, f"{BASE}/"),
        ("HTTPS://EHR.Example/fhir", BASE),
        ("https://ehr.example:443/fhir", BASE),
        ("http://ehr.example:80", "http://ehr.example/"),
        ("https://[FD00::1]:8443/r4", "https://[fd00::1]:8443/r4"),
    ],
)
def test_what_cannot_change_the_server_is_forgiven(sent: str, base: str) -> None:
    assert same_base(sent, base)


def bundle(link: str | None = None) -> bytes:
    links = {"link": [{"relation": "next", "url": link}]} if link else {}
    return json.dumps({"resourceType": "Bundle", "type": "searchset", **links}).encode()


def links(ours: Loopback, theirs: Loopback) -> list[str]:
    us, them, port = f"127.0.0.1:{ours.port}", f"127.0.0.1:{theirs.port}", theirs.port
    return [
        f"http://{them}/fhir/Observation?page=2", f"//{them}/fhir/x", f"http://{us}@{them}/fhir/x", f"https://{them}/fhir/x",
        f"http://{them}\\@{us}/fhir/x", f"http://{us}\\@{them}/fhir/x", f"http://{us}#@{them}/fhir/x",
        f"http://localhost:{port}/fhir/x", f"http://[::ffff:127.0.0.1]:{port}/fhir/x", f"http://2130706433:{port}/fhir/x",
        f"http://0x7f000001:{port}/fhir/x", f"http://127.1:{port}/fhir/x", f"http://0177.0.0.1:{port}/fhir/x",
        f" http://{them}/fhir/x", f"\thttp://{them}/fhir/x", f"ht\ntp://{them}/fhir/x", f"http:/\\{them}/fhir/x",
        f"\\\\{them}/fhir/x", f"http://{us}:@{them}/fhir/x",
        f"http://{us}/other/x", "/admin", "../admin", "x/../../admin", "%2e%2e/admin", "..%2fadmin",
    ]  # fmt: skip


@pytest.mark.proves("R10", "25 links and 10 redirects that lead off the registered base: 0 requests, 0 tokens there")
def test_no_link_and_no_redirect_takes_the_token_elsewhere() -> None:
    current: list[Reply] = []
    with Loopback(lambda _: current[-1]) as ours, Loopback() as theirs:
        service = deployed(ours.base)
        cases: list[Reply] = [(200, {}, bundle(link)) for link in links(ours, theirs)]
        cases += [
            (code, {"location": f"{where}/Observation"}, b"")
            for code in (301, 302, 303, 307, 308)
            for where in (theirs.base, f"http://127.0.0.1:{theirs.port}")
        ]
        assert len(cases) == 35
        for number, case in enumerate(cases):
            current.append(case)
            ours.seen.clear()
            told(service, call(service, "creatinine", fhirServer=ours.base, fhirAuthorization=TOKEN))
            assert [asked.headers.get("authorization") for asked in ours.seen] == [SECRET], f"case {number}"
        assert theirs.seen == []


def test_a_second_page_elsewhere_is_not_read_either() -> None:
    with Loopback() as ours, Loopback() as theirs:
        pages = iter([bundle(f"{ours.base}?page=2"), bundle(f"{theirs.base}?page=3")])
        ours.answer = lambda _: (200, {}, next(pages))
        service = deployed(ours.base)
        told(service, call(service, "creatinine", fhirServer=ours.base, fhirAuthorization=TOKEN))
        assert (len(ours.seen), theirs.seen) == (2, [])


def test_an_absolute_reference_is_never_followed() -> None:
    with Loopback() as ours, Loopback() as theirs:
        order: Json = {
            "resourceType": "Observation", "id": "o", "status": "final", "subject": {"reference": "Patient/p1"},
            "specimen": {"reference": f"{theirs.base}/Specimen/1"}, "medicationReference": {"reference": theirs.base},
        }  # fmt: skip
        found = {"resourceType": "Bundle", "entry": [{"resource": order}]}
        ours.answer = lambda _: (200, {"link": f'<{theirs.base}>; rel="next"'}, json.dumps(found).encode())
        service = deployed(ours.base)
        told(service, call(service, "creatinine", fhirServer=ours.base, fhirAuthorization=TOKEN))
        assert (len(ours.seen), theirs.seen) == (1, [])


@pytest.mark.parametrize("status", [201, 301, 307, 308])
async def test_a_resource_that_is_saved_goes_nowhere_else(status: int) -> None:
    with Loopback() as ours, Loopback() as theirs:
        ours.answer = lambda _: (status, {"location": f"{theirs.base}/RiskAssessment/7"}, b"")
        loop = asyncio.get_running_loop()
        async with FhirClient(ours.base, "t", loop.time() + 5, clock=loop.time) as client:
            try:
                saved = await client.create({"resourceType": "RiskAssessment"})
                assert (status, saved.id) == (201, "7")
            except (WriteRefused, DataUnavailable):
                assert status != 201
        assert (len(ours.seen), theirs.seen) == (1, [])
