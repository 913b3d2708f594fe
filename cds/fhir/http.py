"""HTTP to servers that a site has named: to checked addresses only, no redirects, and no more bytes than asked for."""

import asyncio
import logging
import ssl
import zlib
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from functools import cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

import httpcore
import httpx
import msgspec

from cds.errors import DataUnavailable
from cds.fhir.addresses import ForbiddenAddress, Resolve, check, resolve
from cds.fhir.origins import origin

Transport = httpx.AsyncBaseTransport
Http = httpx.AsyncClient
Response = httpx.Response

CONNECTIONS = 64
PIN_SECONDS = 60.0
ADDRESSES = 6  # of a name's addresses, how many are tried


class NeverAsked(DataUnavailable):
    """The URL is none, or its name leads to an address that is never asked: to try again is of no use."""


class _Pinned(httpcore.AsyncNetworkBackend):
    """Resolves a name once, checks what it got, and connects to exactly that; TLS still asks for the name."""

    def __init__(self, resolver: Resolve, clock: Callable[[], float]) -> None:
        self._resolve = resolver
        self._clock = clock
        self._tcp = httpcore.AnyIOBackend()
        self._known: dict[tuple[str, int], tuple[float, tuple[str, ...]]] = {}
        self._one = asyncio.Lock()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's own signature
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        until = monotonic() + (timeout or 60.0)
        addresses = await self._addresses(host, port, until)
        for tried, address in enumerate(addresses):
            share = max(until - monotonic(), 0.001) / (len(addresses) - tried)
            try:
                stream = await self._tcp.connect_tcp(address, port, share, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                if address is addresses[-1]:
                    self._known.pop((host, port), None)  # the name may lead elsewhere by now
                    raise
            else:
                return stream
        raise httpcore.ConnectError("the name has no address")

    async def _addresses(self, host: str, port: int, until: float) -> tuple[str, ...]:
        try:
            async with asyncio.timeout(until - monotonic()), self._one:
                known = self._known.get((host, port))
                if known is None or self._clock() - known[0] > PIN_SECONDS:
                    found = check(host, (await self._resolve(host, port))[:ADDRESSES])
                    known = self._known[host, port] = (self._clock(), found)
                return known[1]
        except TimeoutError:
            raise httpcore.ConnectTimeout("the name was not resolved in time") from None
        except ForbiddenAddress:
            raise httpcore.UnsupportedProtocol("forbidden address") from None
        except (OSError, UnicodeError, ValueError):
            raise httpcore.ConnectError("the name cannot be resolved") from None

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class PinnedTransport(httpx.AsyncHTTPTransport):
    """The network, to checked addresses. `context`: TLS with other roots than the usual ones."""

    def __init__(
        self,
        resolver: Resolve = resolve,
        context: ssl.SSLContext | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        trusted = context or _trusted()
        super().__init__(verify=trusted, trust_env=False)
        # httpx has no parameter for this; the pool is httpcore's public one, and the tests would see it renamed.
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=trusted,
            max_connections=CONNECTIONS,
            max_keepalive_connections=CONNECTIONS,
            keepalive_expiry=30.0,
            network_backend=_Pinned(resolver, clock),
        )


@cache
def _trusted() -> ssl.SSLContext:
    """Reading the roots takes longer than most calls: once for the process."""
    return httpx.create_ssl_context(trust_env=False)


def open_http(transport: Transport | None = None) -> Http:
    """A client without defaults of anybody: no token, no cookies kept, no proxy from the environment, no redirects."""
    for name in ("httpx", "httpcore"):  # they log each URL, and ours name the patient
        logging.getLogger(name).setLevel(logging.WARNING)
    nobody = CookieJar(DefaultCookiePolicy(allowed_domains=[]))
    return httpx.AsyncClient(
        transport=transport or PinnedTransport(), cookies=nobody, follow_redirects=False, trust_env=False
    )


async def fetch_bytes(
    url: str,
    *,
    limit: int,
    seconds: float,
    transport: Transport | None = None,
    headers: Mapping[str, str] | None = None,
    form: Mapping[str, str] | None = None,
    method: str | None = None,
    content: bytes | None = None,
) -> tuple[int, bytes, Mapping[str, str]]:
    """Read one URL (with `form`: POST it) and give status, body and headers, whatever the status.

    `method` and `content` send another request than these two.

    A body longer than `limit` bytes is cut to `limit` + 1, by which it tells itself. Raises DataUnavailable, without
    the URL, when there is no answer within `seconds` or the URL is none that may be asked.
    """
    if not askable(url):
        raise NeverAsked("this is no URL that may be asked")
    said = {"Accept": "application/json", "Accept-Encoding": "identity", **(headers or {})}
    method = method or ("GET" if form is None else "POST")
    async with faults_told(), asyncio.timeout(seconds), open_http(transport) as client:
        sent = client.stream(method, url, headers=said, data=form, content=content, timeout=seconds)
        async with sent as response:
            return response.status_code, await up_to(limit + 1, response), response.headers


def askable(url: str) -> bool:
    """Whether a URL is http(s) to a plain host: no user, no fragment, nothing that a parser may read in two ways."""
    if not url.isascii() or not url.isprintable() or any(sign in url for sign in " \\#"):
        return False
    try:
        parts = urlsplit(url)
        return (
            parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc and parts.port != 0
        )
    except ValueError:
        return False


def below(base: str, link: str) -> str:
    """The URL to which a link of a server leads, by the very parser that will send it.

    Raises DataUnavailable when that is no URL, is on another origin, or does not lie below the base.
    """
    if not link.isprintable() or link != link.strip() or "\\" in link:  # what parsers drop or read as a slash
        raise DataUnavailable("the link to the next page is no URL")
    try:
        root = httpx.URL(f"{base}/")
        url = root.join(link)
    except (ValueError, httpx.InvalidURL):
        raise DataUnavailable("the link to the next page is no URL") from None
    here, there = ((u.scheme, u.raw_host, u.port, u.userinfo) for u in (root, url))
    path = url.raw_path.partition(b"?")[0].rstrip(b"/") + b"/"
    leaves = any(step in path.lower() for step in (b"/../", b"/./", b"%2e", b"%2f", b"%5c"))
    if here != there or leaves or not path.startswith(root.raw_path):
        raise DataUnavailable("the next page is on another server")
    return str(url)


async def fetch_json(
    url: str, *, allowed_origin: str, limit: int, seconds: float, transport: Transport | None = None
) -> Any:
    """One JSON document on an origin that is allowed. Raises DataUnavailable for anything else."""
    if not askable(url) or origin(url) != origin(allowed_origin):
        raise DataUnavailable("this URL is on another server")
    status, body, _ = await fetch_bytes(url, limit=limit, seconds=seconds, transport=transport)
    if status != 200:
        raise DataUnavailable(f"the server answered {status}")
    if len(body) > limit:
        raise DataUnavailable("the server's answer is too large")
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise DataUnavailable("the server's answer is not JSON") from None


@asynccontextmanager
async def faults_told() -> AsyncIterator[None]:
    """A fault of the network as a DataUnavailable, NeverAsked where it will not pass."""
    try:
        yield
    except TimeoutError:
        raise DataUnavailable("the server took too long") from None
    except httpx.UnsupportedProtocol:
        raise NeverAsked("the server's name leads to an address that is never asked") from None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise DataUnavailable(f"the server failed: {type(error).__name__}") from None


async def up_to(limit: int, response: httpx.Response) -> bytes:
    """The unpacked body, never more than `limit` bytes of it: a small packed answer may be endless."""
    packing = response.headers.get("content-encoding", "identity").strip().lower()
    if packing not in ("", "identity", "gzip", "x-gzip"):
        raise DataUnavailable("the server's answer is packed in a way that was not asked for")
    unpack = zlib.decompressobj(16 + zlib.MAX_WBITS) if "gzip" in packing else None
    content = bytearray()
    assert isinstance(response.stream, httpx.AsyncByteStream)  # noqa: S101 - for the type checker; an async client's is
    async for chunk in response.stream:
        try:
            content += unpack.decompress(chunk, limit - len(content)) if unpack else chunk
        except zlib.error:
            raise DataUnavailable("the server's answer cannot be read: it is not gzip") from None
        if len(content) >= limit:
            return bytes(content[:limit])
    if unpack and not unpack.eof:
        raise DataUnavailable("the server's answer cannot be read: it was cut off")
    return bytes(content)
