"""Pages and their files travel packed; what an EHR calls does not."""

from collections.abc import Callable

import pytest

from tests.cdshooks.desk import SERVICE
from tests.web.smart_page.bench import App

PACKED, PLAIN = {"accept-encoding": "gzip"}, {"accept-encoding": "identity"}


@pytest.mark.parametrize("what", ["overview", "service", "page.css"])
def test_a_page_or_file_is_packed_for_whoever_unpacks_it(what: str, open_app: Callable[..., App]) -> None:
    app = open_app("refer")
    path = {"overview": app.path, "service": f"{app.path}/{SERVICE}", "page.css": "/smart/static/page.css"}[what]
    packed, plain = (app.http.get(path, headers=headers) for headers in (PACKED, PLAIN))
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert packed.headers["vary"] == plain.headers["vary"] == "Accept-Encoding"
    assert int(packed.headers["content-length"]) < int(plain.headers["content-length"]) / 2
    assert packed.text[:200] == plain.text[:200]


@pytest.mark.parametrize("path", ["/cds-services", f"/cds-services/{SERVICE}", "/health/live"])
def test_nothing_else_is_packed(path: str, open_app: Callable[..., App]) -> None:
    app = open_app("refer")
    for method in ("GET", "POST"):
        assert "content-encoding" not in app.http.request(method, path, headers=PACKED).headers


def test_a_packed_page_holds_nothing_that_its_address_brought(open_app: Callable[..., App]) -> None:
    """What a listener could choose must not stand beside what she must not learn: its length would tell."""
    app = open_app("refer")
    for address in (f"{app.path}/{SERVICE}?q=guess-7Q", f"{app.path}/guess-7Q", f"{app.path}?guess-7Q"):
        assert "guess-7Q" not in app.http.get(address, headers={**PACKED, "referer": "guess-7Q"}).text
