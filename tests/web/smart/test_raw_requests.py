"""Requests to the SMART routes byte by byte, as no browser sends them: none is answered with a five-hundred (R20)."""

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import quote_plus, unquote

import msgspec
import pytest
import respx
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from msgspec import Struct

from tests.cdshooks.desk import SERVICE, Desk
from tests.web.reach import Reached

SETTINGS: dict[str, Any] = {
    "suppress_health_check": list(HealthCheck),
    "deadline": None,
    "database": None,
    "phases": [Phase.generate],
}
Pair = tuple[bytes, bytes]
Headers = list[Pair]

SESSION = "/smart/app/{session}/{service}"
TARGETS = [
    ("GET", "/smart/launch"), ("GET", "/smart/standalone"), ("GET", "/smart/callback"), ("POST", "/smart/callback"),
    ("POST", "/smart/logout"), ("GET", "/smart/app/{session}"), ("POST", "/smart/app/{session}"), ("GET", SESSION),
    ("POST", SESSION), ("POST", f"{SESSION}/what-if"), ("POST", f"{SESSION}/save"), ("POST", f"{SESSION}/feedback"),
    ("GET", "/smart/passage.js"), ("GET", "/smart/static/page.css"), ("GET", "/.well-known/jwks.json"),
    ("HEAD", "/smart/callback"), ("HEAD", "/smart/launch"), ("HEAD", SESSION),
]  # fmt: skip

ODD = [
    b"", b"%", b"%z", b"%zz", b"%0", b"%00", b"%0d%0aset-cookie:x=1", b"%ff", b"%c0%80", b"%ed%a0%80", b"%f4%90%80%80",
    b"%25", b"%2500", b"%u0041", b"+", b"++", b";", b"&", b"=", b"==", b"#", b"\0", b"\xff", b"\xed\xa0\x80", b"\r\n",
    b"%E2%80%AE", b"<script>", b"..%2f..", b"a" * 5_000, b"%41" * 2_000, b"1e999", b"nan", b"-0", b"0x10", b"1_0",
    "٣".encode(), b"9" * 400,
]  # fmt: skip
"""Percent-encoding that means nothing, UTF-8 that is none, what ends a line or a string, and what is long."""
odd = st.sampled_from(ODD) | st.binary(max_size=12) | st.lists(st.sampled_from(ODD[:30]), max_size=4).map(b"".join)
NAMES = [
    b"iss", b"launch", b"state", b"code", b"error", b"session", b"ticket", b"secret", b"patient", b"Patient", b"card",
    b"verdict", b"reason", b"assessment", b"egfr", b"acr",
]  # fmt: skip
pairs = st.lists(
    st.tuples(st.sampled_from(NAMES) | odd, odd | st.sampled_from([b"helpful", b"not-helpful"])), max_size=5
)
HEADERS = st.lists(
    st.tuples(
        st.sampled_from(
            [b"cookie", b"content-type", b"content-length", b"host", b"origin", b"sec-fetch-site", b"sec-fetch-dest",
             b"if-none-match", b"accept", b"range", b"x-forwarded-host", b"expect", b"transfer-encoding"]
        ),
        odd | st.sampled_from([b"same-origin", b"null", b"localhost:[", b"text/plain; charset=\xff"]),
    ),
    max_size=4,
)  # fmt: skip
COOKIES = st.one_of(
    st.just(b""),
    odd,
    st.integers(1, 900).map(lambda n: b"; ".join(b"__Host-bedside-%d=%d" % (i, i) for i in range(n))),
    st.integers(1, 60_000).map(lambda n: b"__Host-bedside-x=" + b"v" * n),
    st.sampled_from([b'a="\\777\\000"', b'="', b";;;=;", b"__Host-bedside-\xff=\0", b'x="' + b"\\" * 2_000]),
)


def on_the_line(query: bytes) -> bytes:
    """What of an address the server's parser lets through: printable ASCII, so that the rest has to be encoded."""
    return re.sub(rb"[^!-~]", lambda found: b"%%%02x" % ord(found[0]), query)


class Drawn(Struct, frozen=True):
    """What else is odd about a request: its headers, how its body comes, and how late."""

    headers: Headers
    cookie: bytes
    tail: bytes
    padding: bytes
    cut: int
    first: bool
    hang_up: bool
    later: timedelta


def now_and_then(what: st.SearchStrategy[Any], usual: Any) -> st.SearchStrategy[Any]:
    """A request with one thing odd goes further in than one that is odd all over."""
    return st.one_of(*[st.just(usual)] * 3, what)


DRAWN = st.builds(
    Drawn,
    headers=now_and_then(HEADERS, []),
    cookie=now_and_then(COOKIES, b""),
    tail=st.sampled_from([*[b""] * 30, b"/", b"%2f", b"%00", b"%ff", b"/..", b"//", b"%20", b";x=1"]),
    padding=st.sampled_from([*[b""] * 12, b"&" * 300, b"&a=" + b"b" * 70_000, b"&x=1" * 250, b"\xff"]),
    cut=st.integers(0, 80),
    first=st.booleans(),
    hang_up=st.sampled_from([False] * 19 + [True]),
    later=st.sampled_from([timedelta(seconds=1)] * 9 + [timedelta(minutes=4)]),
)


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as found:
        yield found


async def answered(
    app: Any, scope: dict[str, Any], chunks: list[bytes], *, hang_up: bool
) -> tuple[int, Headers, bytes]:
    """The answer to a request whose body comes in these pieces, and whose sender may leave before the last."""
    messages = [{"type": "http.request", "body": one, "more_body": True} for one in chunks]
    messages.append({"type": "http.disconnect"} if hang_up else {"type": "http.request", "body": b""})
    said: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return messages.pop(0) if messages else {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        said.append(message)

    await app(scope, receive, send)
    body = b"".join(message.get("body", b"") for message in said[1:])
    return said[0]["status"], said[0]["headers"], body


def encoded(given: dict[str, str]) -> list[Pair]:
    return [(name.encode(), quote_plus(value).encode()) for name, value in given.items()]


def joined(fields: list[Pair]) -> bytes:
    return b"&".join(name + b"=" + value for name, value in fields)


class Asked(Struct, frozen=True):
    """Whether a request has its true parts, what more stands in its address and in its form, and the rest."""

    real: bool
    query: list[Pair]
    form: list[Pair]
    drawn: Drawn

    def __repr__(self) -> str:
        return repr(msgspec.structs.astuple(self))[:5_000]


class Raw:
    """Sends odd requests to one server, some of them with what it handed out itself."""

    def __init__(self, server: Reached, runner: asyncio.Runner) -> None:
        self.server = server
        self.runner = runner
        self.seen: Counter[int] = Counter()
        self.worked: Counter[str] = Counter()

    def send(self, asked: Asked) -> None:
        """To each target in turn."""
        method, path = TARGETS[self.seen.total() % len(TARGETS)]
        real, drawn = asked.real, asked.drawn
        self.server.desk.now += drawn.later
        true_query, true_form, cookie = self.server.truth(method.lower(), path) if real else ({}, {}, "")
        query = asked.query + encoded(true_query | ({"launch": "launch-1"} if path.endswith("launch") and real else {}))
        form = encoded(true_form) + asked.form
        raw = path.format(session=self.server.session, service=SERVICE).encode() + drawn.tail
        headers = [(b"host", self.server.host.encode()), (b"content-type", b"application/x-www-form-urlencoded")]
        headers += [(b"sec-fetch-site", b"same-origin")] if real else []
        headers += [(b"cookie", b"; ".join(filter(None, [cookie.encode(), drawn.cookie])))]
        headers = [*drawn.headers, *headers] if drawn.first else [*headers, *drawn.headers]
        body = joined(form) + drawn.padding if method == "POST" else b""
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
            "path": unquote(raw.decode("latin-1")), "raw_path": raw, "root_path": "", "headers": headers, "state": {},
            "query_string": on_the_line(joined(query)), "client": ("127.0.0.1", 50_000), "server": ("localhost", 80),
        }  # fmt: skip
        cut = min(drawn.cut, len(body))
        sent = answered(self.server.desk.app, scope, [body[:cut], body[cut:]], hang_up=drawn.hang_up)
        status, said, page = self.runner.run(sent)
        self.seen[status] += 1
        self.worked[f"{method} {path}"] += status in (200, 303, 304, 405)
        assert status < 500, (method, path)
        assert not any(set(b"\r\n\0") & set(name + value) for name, value in said)
        if path.startswith("/smart/app/") and b'name="ticket"' in page:
            self.server.saw(Page(page.decode(), status), whole=False)
        elif (status == 401 and real) or (path.endswith("logout") and status == 200):
            self.server.open()


class Page:
    """A page that came, as the server's keeper reads it."""

    def __init__(self, text: str, status_code: int) -> None:
        self.text, self.status_code = text, status_code


PLAIN = Asked(True, [], [], Drawn([], b"", b"", b"", 5, False, False, timedelta(seconds=1)))
"""As our own pages send it, in two pieces."""
ASKED = st.builds(
    Asked,
    real=st.sampled_from([True, True, False]),
    query=now_and_then(pairs, []),
    form=now_and_then(pairs, []),
    drawn=DRAWN,
)


@pytest.mark.proof
@pytest.mark.timeout(3600)
@pytest.mark.proves(
    "R20", "20,000 raw requests to 18 SMART routes and methods in make proof (1,000 in make test): 0 five-hundreds"
)
@pytest.mark.proves(
    "R14", "SMART forms to 70 KB and cookies to 60 KB of any bytes, 20,000 in make proof: 0 five-hundreds"
)
@pytest.mark.parametrize("clients", [False, True], ids=["open", "clients"])
def test_r20_no_bytes_sent_to_a_smart_route_break_the_server(
    open_desk: Callable[..., Desk],
    router: respx.MockRouter,
    runner: asyncio.Runner,
    campaign: Callable[[int], int],
    clients: bool,
) -> None:
    raw = Raw(Reached.both(open_desk, router)[clients], runner)
    raw.server.ehr.clock = lambda: raw.server.desk.now
    raw.server.open()
    for _ in TARGETS:
        raw.send(PLAIN)
    assert all(raw.worked[f"{method} {path}"] for method, path in TARGETS), raw.worked

    @settings(max_examples=campaign(10_000), **SETTINGS)
    @given(ASKED)
    def holds(asked: Asked) -> None:
        raw.send(asked)

    holds()
    print(dict(sorted(raw.seen.items())))
    assert raw.seen.total() >= campaign(10_000)
    assert max(raw.seen) < 500
