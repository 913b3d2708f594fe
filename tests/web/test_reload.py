"""R54, R56: a site is set up anew while it serves, and every answer is of one site."""

import re
import signal
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import httpx
import msgspec
import pytest

from cds.errors import SiteError
from cds.ledger import Ledger
from cds.risk.snapshot import read_snapshot
from cds.site import Site
from cds.web.keeping import keep, let_go_later
from cds.web.reload import Reload
from tests.cdshooks.charts import Json, kidney
from tests.cdshooks.desk import PATH, SERVICE, Desk, site
from tests.web.process import Served, fresh, wait_until

TAKEN, KEPT = "configuration taken", "configuration not taken"
SITES = {("north-america", 5.0): "15.4", ("elsewhere", 4.0): "13.0"}
"""Region and referral threshold of the two sites that are swapped, and the risk that the patient has in each."""


class Load(threading.Thread):
    """Calls without a pause until it is told to stop; `told` is what came back by hookInstance."""

    def __init__(self, server: Served, call: Json) -> None:
        super().__init__(daemon=True)
        self.server, self.call = server, call
        self.done = False
        self.statuses: list[int] = []
        self.told: dict[str, str] = {}

    def run(self) -> None:
        with httpx.Client(trust_env=False) as client:
            while not self.done:
                body = fresh(self.call)
                answered = self.server.post(body, client)
                self.statuses.append(answered.status_code)
                self.told[body["hookInstance"]] = answered.json()["cards"][0]["summary"]
                time.sleep(0.02)


def swap(server: Served, number: int) -> None:
    region, percent = list(SITES)[number % 2]
    before = server.log().count(TAKEN)
    server.write(region=region, percent=percent)
    server.tell(signal.SIGHUP)
    wait_until(lambda: server.log().count(TAKEN) > before, 30)


@pytest.mark.proof
@pytest.mark.timeout(1800)
@pytest.mark.proves("R56", "100 swaps under load: risk, threshold, model version and ledger agree in 100 %, 0 errors")
def test_every_answer_is_of_one_site_whatever_is_swapped(
    open_server: Callable[[], Served], call: Json, campaign: Callable[[int], int]
) -> None:
    server, swaps = open_server(), campaign(100)
    server.write()
    server.start()
    loads = [Load(server, call) for _ in range(2)]
    for load in loads:
        load.start()
    for number in range(1, swaps + 1):
        swap(server, number)
    time.sleep(0.3)
    for load in loads:
        load.done = True
        load.join(30)
    server.tell(signal.SIGTERM)
    assert server.running.wait(30) == 0
    told = {instance: summary for load in loads for instance, summary in load.told.items()}
    assert {status for load in loads for status in load.statuses} == {200}
    assert len(told) > swaps
    seen = set()
    with Ledger.open(f"sqlite:///{server.database}", server.keyring) as ledger:
        for answer in ledger.answers():
            recorded = read_snapshot(answer.scores[0].row)
            of = recorded.settings["region"], recorded.settings["referral_percent"]
            seen.add(of)
            summary = told.pop(answer.hook_instance)
            assert summary == msgspec.json.decode(answer.cards)[0]["summary"]
            assert re.findall(r"[\d.]+(?=%)", summary) == [SITES[of], f"{of[1]:g}"]
            assert answer.scores[0].version == recorded.version
    assert told == {}
    assert seen == set(SITES)


@pytest.mark.proves(
    "R56", "a site.toml that cannot be served: the earlier one answers on, readiness says stale, and back"
)
def test_a_broken_site_keeps_the_old_one_and_says_so(open_server: Callable[[], Served], call: Json) -> None:
    server = open_server()
    server.write()
    server.start()
    assert server.status()[1]["configuration"] == "current"
    broken = {
        "percent": 50.0,
        "region": "atlantis",
        "more": 'nonsense = "yes"',
        "drain": 7,  # sound, but only a new process could take it
    }
    for number, (name, value) in enumerate(broken.items(), 1):
        server.write(**{name: value})  # type: ignore[arg-type]
        server.tell(signal.SIGHUP)
        wait_until(lambda number=number: server.log().count(KEPT) == number, 30)  # type: ignore[misc]
        status, said = server.status()
        assert (status, said["configuration"]) == (200, "stale")
        assert "15.4%" in server.post(fresh(call)).json()["cards"][0]["summary"]
    assert "restart" in server.log()
    (server.folder / "site.toml").write_bytes(b"\xff = [")
    server.tell(signal.SIGHUP)
    wait_until(lambda: server.log().count(KEPT) == len(broken) + 1, 30)
    swap(server, 1)
    assert server.status()[1]["configuration"] == "current"
    assert "13.0%" in server.post(fresh(call)).json()["cards"][0]["summary"]
    assert server.log().count("Traceback") == 0


@pytest.mark.proves("R56", "swapped back, the next answer is the earlier site's: both together under 1 s")
def test_rolling_back_takes_less_than_a_second(desk: Desk) -> None:
    call = desk.call(kidney())
    other = site(model={"region": "elsewhere"})
    desk.state.swap(other)
    assert "13.0%" in desk.post(fresh(call)).json()["cards"][0]["summary"]
    started = time.perf_counter()
    desk.state.swap(desk.site)
    assert "15.4%" in desk.post(fresh(call)).json()["cards"][0]["summary"]
    assert time.perf_counter() - started < 1


@pytest.mark.proves("R38", "a site taken and two refused while serving: one configuration event each")
async def test_each_attempt_is_noted_in_the_audit(desk: Desk) -> None:
    def broken() -> Site:
        raise SiteError("site.toml: no")

    def worse() -> Site:
        raise ZeroDivisionError

    other = site(model={"region": "elsewhere"})
    for read, taken in ((lambda: other, True), (broken, False), (worse, False)):
        assert await Reload(desk.state, read)() is taken
        assert desk.state.stale is not taken
    noted = [event.outcome for event in desk.ledger.events() if event.kind == "configuration"]
    assert noted == ["success", "failed", "failed"]
    active = [event.detail["model"] for event in desk.ledger.events() if event.kind == "model-activated"]
    assert active == ["kfre-4"]
    assert desk.state.site is other


@pytest.mark.parametrize(
    "changed", [{"spool": "elsewhere"}, {"keys": "other.json"}, {"on_audit_failure": "refuse"}, {"drain_seconds": 7}]
)
@pytest.mark.proves("R56", "4 settings that only a start can take: refused while serving, never half taken")
async def test_what_was_opened_at_the_start_cannot_change_while_serving(desk: Desk, changed: Json) -> None:
    settings = desk.site.settings.model_validate({**desk.site.settings.model_dump(), **changed})
    assert await Reload(desk.state, lambda: msgspec.structs.replace(desk.site, settings=settings))() is False
    assert desk.state.stale
    assert desk.state.site is desk.site


class Forgetful:
    """A model of this site as somebody broke it: another number than its reference file says."""

    def __init__(self, site: Site) -> None:
        self.site = site

    def __call__(self) -> Site:
        deployed = self.site.services[SERVICE]
        models = {name: Wrong(type(model), model) for name, model in deployed.models.items()}
        return msgspec.structs.replace(
            self.site, services={SERVICE: msgspec.structs.replace(deployed, models=models)}
        )  # fmt: skip


def Wrong(kind: Any, model: Any) -> Any:  # noqa: N802 - it makes a class
    broken = type(kind.__name__, (kind,), {"predict": lambda self, row: [
        msgspec.structs.replace(e, probability=e.probability * 0.99) for e in kind.predict(self, row)
    ]})  # fmt: skip
    made = broken(model.card, model.settings)
    made.folder = model.folder
    return made


@pytest.mark.proves("R24", "a model that misses its reference results by 1 % is not taken while the old one serves")
async def test_a_model_that_lost_its_reference_results_is_not_taken(desk: Desk) -> None:
    assert await Reload(desk.state, Forgetful(desk.site))() is False
    assert desk.state.site is desk.site
    assert desk.state.stale


def test_health_says_nothing_of_patients_or_hosts(desk: Desk) -> None:
    desk.post(desk.call(kidney()))
    assert desk.http.get("/health/startup").json() == {"status": "started"}
    ready = desk.http.get("/health/ready").json()
    assert ready == {
        "status": "ready",
        "checks": {"draining": "ok", "services": "ok", "ledger": "ok", "clock": "not compared"},
        "configuration": "current",
        "trust": "demo",
    }


@pytest.mark.proves("R54", "startup stays 200 once ready; ready 503 without its ledger; live 200 throughout")
def test_startup_live_and_ready_answer_three_questions(desk: Desk, open_desk: Callable[..., Desk]) -> None:
    late = open_desk()
    late.database.unlink()
    assert late.http.get("/health/startup").status_code == HTTPStatus.SERVICE_UNAVAILABLE
    assert desk.http.get("/health/startup").status_code == HTTPStatus.OK
    desk.database.unlink()
    found = [desk.http.get(f"/health/{which}").status_code for which in ("live", "startup", "ready")]
    assert found == [200, 200, 503]
    assert desk.http.get(PATH).status_code == HTTPStatus.METHOD_NOT_ALLOWED


def test_a_browsers_origin_counts_from_the_swap_on(desk: Desk) -> None:
    page = {"Origin": "https://new.example.org"}
    asked = {**page, "Access-Control-Request-Method": "POST"}
    assert "access-control-allow-origin" not in desk.http.get("/cds-services", headers=page).headers
    assert desk.http.options(PATH, headers=asked).status_code == HTTPStatus.NO_CONTENT
    desk.state.swap(site(browser_origins=("https://new.example.org",)))
    allowed = desk.http.get("/cds-services", headers=page).headers["access-control-allow-origin"]
    assert allowed == "https://new.example.org"
    assert desk.http.options(PATH, headers=asked).status_code == HTTPStatus.OK
    other = {"Origin": "https://other.example.org"}
    assert "access-control-allow-origin" not in desk.http.get("/cds-services", headers=other).headers


async def test_an_earlier_sites_connections_close_when_its_calls_have_ended(desk: Desk) -> None:
    earlier = site(fetch_seconds=0.01, answer_seconds=0.01)
    (servers,) = earlier.servers()
    server = servers.of("https://ehr.example.org/fhir")
    await keep(earlier)
    async with server.connections() as http:
        pass
    assert not http.is_closed
    await let_go_later(earlier, spare=0.01)
    assert http.is_closed
