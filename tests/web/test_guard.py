"""Who may speak to the server, what it says in headers, and how many series its metrics can grow to."""

import random
import string
from collections.abc import Callable
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.testclient import TestClient

from tests.cdshooks.charts import kidney
from tests.cdshooks.desk import PATH, Desk, outcome


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("localhost:8080", 200),
        ("LOCALHOST", 200),
        ("127.0.0.1", 200),
        ("127.0.0.1:80", 200),
        ("[::1]", 200),
        ("[::1]:8080", 200),
        ("evil.example", 421),
        ("localhost.evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("evil.example:80", 421),
        ("0.0.0.0", 421),
        ("localhost@evil.example", 421),
        ("", 421),
        ("10.0.0.1", 421),
        ("[::2]", 421),
    ],
)
def test_only_this_machines_names_are_answered(desk: Desk, host: str, status: int) -> None:
    for path in ("/cds-services", "/health/live", "/metrics"):
        assert desk.http.get(path, headers={"Host": host}).status_code == status
    refused = desk.post(desk.call(kidney()), host=host)
    assert refused.status_code == status
    if status == 421:
        assert outcome(refused)["severity"] == "error"
        assert desk.answers() == []


def test_no_answer_about_a_patient_is_kept_by_anyone(desk: Desk) -> None:
    for body in (desk.call(kidney()), desk.call(kidney(48, 30)), b"{"):
        assert desk.post(body).headers["cache-control"] == "no-store"
    assert desk.post({"feedback": []}, f"{PATH}/feedback").headers["cache-control"] == "no-store"


def test_pages_have_the_headers_of_a_page(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk(demo=True)
    for path in ("/", "/demo/", "/health/live", "/metrics", "/nothing"):
        headers = desk.http.get(path).headers
        assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'")
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert (headers["referrer-policy"], headers["x-content-type-options"]) == ("no-referrer", "nosniff")


@pytest.mark.proves("R26", "a fault that nobody foresaw: 500, its kind in the log, and its words told to nobody")
def test_a_fault_that_nobody_foresaw_ends_here(desk: Desk, capfd: pytest.CaptureFixture[str]) -> None:
    async def fails(_: Request) -> Response:
        raise RuntimeError("canary-in-a-fault")

    for path in ("/smart/fails", "/cds-services-fail"):
        desk.app.router.routes.insert(0, Route(path, fails))
        http = TestClient(desk.app, base_url="http://localhost")  # raises whatever is left to the server that runs us
        said = http.get(path)
        assert said.status_code == 500
        assert outcome(said)["diagnostics"].startswith("correlation id ")
        assert "canary" not in said.text
    logged = capfd.readouterr()
    assert "RuntimeError" in logged.out + logged.err
    assert "canary" not in logged.out + logged.err


@pytest.mark.proves("R45", "2 addresses with a slash too many: 404, no redirect")
def test_a_slash_too_many_is_no_redirect(desk: Desk) -> None:
    for path in ("/smart/callback/?code=c&state=s", "/health/live/"):
        said = desk.http.get(path)
        assert said.status_code == 404
        assert "location" not in said.headers


def test_nothing_describes_the_api_to_strangers(desk: Desk) -> None:
    for path in ("/docs", "/redoc", "/openapi.json", "/debug"):
        assert desk.http.get(path).status_code == 404


def noise(chance: random.Random, call: dict[str, Any]) -> tuple[Any, str, dict[str, str]]:
    """A random request: its body, address and headers."""
    word = "".join(chance.choices(string.ascii_letters + string.digits, k=8))
    body = chance.choice(
        [
            b"{",
            word.encode(),
            {},
            call | {"hook": word},
            call | {"hookInstance": word},
            call | {"prefetch": {word: None}},
            call | {"extension": {word: word}},
            {"feedback": [{"card": word, "outcome": word, "outcomeTimestamp": "x"}]},
            {"feedback": [{"card": word, "outcome": "overridden", "outcomeTimestamp": "2026-11-22T14:03:00Z"}]},
        ]
    )
    path = chance.choice([PATH, f"{PATH}/feedback", f"/cds-services/{word}", f"/{word}"])
    return body, path, chance.choice([{}, {"content_type": f"text/{word}"}, {"user_agent": word}])


@pytest.mark.proof
@pytest.mark.proves("R27", "fewer than 100 series after 100,000 random requests in make proof (5,000 in make test)")
def test_r27_metrics_do_not_grow_with_what_strangers_send(desk: Desk, campaign: Callable[[int], int]) -> None:
    chance, call = random.Random(27), desk.call(kidney())
    sent = []
    for _ in range(campaign(100_000)):
        body, path, headers = noise(chance, call)
        response = desk.post(body, path, **headers)
        assert response.status_code < 500
        sent.append(path)
    said = desk.metrics()
    series = [line for line in said.splitlines() if not line.startswith("#")]
    assert len(series) < 100
    assert not any(path.rpartition("/")[2] in said for path in set(sent) - {PATH, f"{PATH}/feedback"})
