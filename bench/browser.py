"""A browser as far as the page's benchmark needs one: what it gets from the application, and what it loads besides."""

import re
import time
from dataclasses import dataclass
from gzip import decompress
from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

from bench.echo import Application, Message
from bench.trust import BASE

URL = re.compile(r"(?:url\(|@import )\s*['\"]?([^'\")\s]+)")
LOADS = {("link", "href"), ("script", "src"), ("img", "src"), ("iframe", "src"), ("use", "href"), ("source", "src")}


@dataclass(frozen=True)
class Sent:
    """An answer of the application, and after how many ms its first byte left."""

    status: int
    headers: dict[str, str]
    cookies: list[str]
    body: bytes
    first: float

    @property
    def plain(self) -> bytes:
        return decompress(self.body) if self.headers.get("content-encoding") == "gzip" else self.body


async def get(app: Application, target: str, **headers: str) -> Sent:
    """One GET in ASGI's words, from a browser that unpacks gzip."""
    path, _, query = target.partition("?")
    named = [(name.encode(), value.encode()) for name, value in headers.items() if value]
    host = urlsplit(BASE).netloc.encode()
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "https",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(b"host", host), (b"accept-encoding", b"gzip"), *named],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 1),
        "state": {},
    }
    said: list[tuple[float, Message]] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        said.append((time.perf_counter(), message))

    start = time.perf_counter()
    await app(scope, receive, send)
    bodies = [(at, message["body"]) for at, message in said if message["type"] == "http.response.body"]
    told = [(name.decode().lower(), value.decode()) for name, value in said[0][1]["headers"]]
    cookies = [value.partition(";")[0] for name, value in told if name == "set-cookie"]
    body, first = b"".join(part for _, part in bodies), (bodies[0][0] - start) * 1e3
    return Sent(said[0][1]["status"], dict(told), cookies, body, first)


class Loaded(HTMLParser):
    """What a browser loads for a page by itself: links that a reader may follow are not among it."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if value and (tag, name) in LOADS and not value.startswith("#")]
        self.found += [url for name, value in attrs if value and name == "style" for url in URL.findall(value)]


async def weigh(app: Application, path: str, sent: Sent) -> tuple[dict[str, int], list[str]]:
    """Bytes as sent, packed, of the page and of each file that it loads; and what it would load from elsewhere."""
    weights, elsewhere, waiting = {"the page": len(sent.body)}, [], [(path, sent)]
    while waiting:
        here, one = waiting.pop()
        for url in (urljoin(BASE + here, link) for link in links(one)):
            if not url.startswith(f"{BASE}/"):
                elsewhere.append(url)
            elif (target := url.removeprefix(BASE)) not in weights:
                loaded = await get(app, target)
                if loaded.status != 200:
                    raise SystemExit(f"{target} answered {loaded.status}")
                weights[target] = len(loaded.body)
                waiting.append((target, loaded))
    return weights, elsewhere


def links(sent: Sent) -> list[str]:
    text = sent.plain.decode()
    if sent.headers["content-type"].startswith("text/html"):
        parser = Loaded()
        parser.feed(text)
        return parser.found
    return [url for url in URL.findall(text) if not url.startswith(("#", "data:"))]
