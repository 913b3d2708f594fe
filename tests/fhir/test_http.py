"""What leaves over HTTP: to checked addresses, without redirects, and no more bytes than asked for."""

import gzip
from collections.abc import Callable

import httpx
import pytest

from cds.errors import DataUnavailable
from cds.fhir.addresses import ForbiddenAddress, check, names_loopback
from cds.fhir.http import fetch_bytes

URL = "https://ehr.example/jwks"


def served(answer: Callable[[httpx.Request], httpx.Response]) -> httpx.MockTransport:
    return httpx.MockTransport(answer)


async def fetched(response: httpx.Response, limit: int = 100) -> tuple[int, bytes]:
    transport = served(lambda request: response)
    status, body, _ = await fetch_bytes(URL, limit=limit, seconds=2, transport=transport)
    return status, body


async def test_a_body_over_the_limit_tells_itself_by_one_byte_more() -> None:
    assert await fetched(httpx.Response(200, content=b"x" * 100)) == (200, b"x" * 100)
    assert await fetched(httpx.Response(200, content=b"x" * 9_999)) == (200, b"x" * 101)


async def test_a_packed_body_is_unpacked_no_further_than_the_limit() -> None:
    bomb = gzip.compress(b"0" * 50_000_000)
    assert len(bomb) < 50_000
    status, body = await fetched(
        httpx.Response(200, stream=httpx.ByteStream(bomb), headers={"content-encoding": "gzip"})
    )
    assert (status, len(body)) == (200, 101)


@pytest.mark.parametrize(("packing", "content"), [("br", b"x"), ("gzip", b"no gzip at all"), ("gzip", b"\x1f")])
async def test_what_is_packed_otherwise_or_cut_off_is_refused(packing: str, content: bytes) -> None:
    with pytest.raises(DataUnavailable):
        await fetched(httpx.Response(200, stream=httpx.ByteStream(content), headers={"content-encoding": packing}))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_the_answer_and_is_not_followed(status: int) -> None:
    seen: list[str] = []

    def redirect(request: httpx.Request) -> httpx.Response:
        seen.append(str(request.url))
        return httpx.Response(status, headers={"location": "https://elsewhere.example/"})

    assert (await fetch_bytes(URL, limit=9, seconds=2, transport=served(redirect)))[0] == status
    assert seen == [URL]


async def test_a_form_is_posted() -> None:
    def echo(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=f"{request.method} {request.content.decode()}")

    told = await fetch_bytes(URL, limit=99, seconds=2, transport=served(echo), form={"grant_type": "refresh_token"})
    assert told[1] == b"POST grant_type=refresh_token"


NO_PLAIN_URLS = [
    "ftp://ehr.example/", "https://user@ehr.example/", "https://ehr.example/#x", "https:///x", "",
    "https://ehr.example\\@x/", "https://ehr.example:port/", "https://[/", "https://ehr.example/\t",
    "https://\u0435hr.example/", "file:///etc/passwd",
]  # fmt: skip


@pytest.mark.parametrize("url", NO_PLAIN_URLS)
async def test_what_is_no_plain_url_is_not_asked(url: str) -> None:
    with pytest.raises(DataUnavailable, match="no URL that may be asked"):
        await fetch_bytes(url, limit=9, seconds=2, transport=served(lambda _: httpx.Response(200)))


NEVER = [
    "169.254.169.254", "fe80::1", "224.0.0.1", "ff02::1", "0.0.0.0", "::", "0.1.2.3", "255.255.255.255", "240.0.0.1",
    "::ffff:169.254.169.254", "::ffff:127.0.0.1", "::ffff:0.0.0.0", "64:ff9b::a9fe:a9fe", "64:ff9b::7f00:1",
    "64:ff9b:1::a9fe:a9fe", "2002:a9fe:a9fe::1", "2002:7f00:1::", "::169.254.169.254", "fd00:ec2::254",
    "100.100.100.200", "168.63.129.16", "192.0.0.192", "127.0.0.1", "127.8.8.8", "::1",
]  # fmt: skip


@pytest.mark.proves("R11", "25 addresses to which no name leads, however they are wrapped")
@pytest.mark.parametrize("address", NEVER)
def test_no_name_leads_to_this_address(address: str) -> None:
    with pytest.raises(ForbiddenAddress):
        check("ehr.example", ["10.0.0.1", address])


def test_a_hospitals_own_network_is_fine() -> None:
    private = [
        "10.1.2.3",
        "172.16.0.9",
        "192.168.1.1",
        "fd12:3456::1",
        "::ffff:10.1.2.3",
        "64:ff9b::808:808",
        "8.8.8.8",
    ]
    assert check("ehr.example", private) == tuple(private)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "127.0.0.1", "127.9.9.9", "::1", "[::1]"])
def test_loopback_is_reached_by_its_own_name_only(host: str) -> None:
    assert names_loopback(host)
    assert check(host, ["127.0.0.1", "::1"])
    with pytest.raises(ForbiddenAddress):
        check(f"{host.strip('[]')}.example", ["127.0.0.1"])
