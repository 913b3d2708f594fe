"""`bedside doctor` on real servers over sockets, and on poor ones."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import respx
from typer.testing import CliRunner, Result

from cds.cli.main import app
from cds.web.app import create_app
from tests.cdshooks.charts import AT, Json
from tests.cdshooks.desk import site
from tests.trust.ehr import key, public
from tests.web.served import served

BASE = "https://ehr.example.org/fhir/r4"
RUN = CliRunner()


def doctor(*arguments: str) -> Result:
    return RUN.invoke(app, ["doctor", *arguments])


def found(*arguments: str) -> dict[str, Json]:
    """What was found by its name, of one subject."""
    lines = [json.loads(line) for line in doctor(*arguments, "--json").stdout.splitlines()]
    return {line["what"]: line for line in lines}


def outcomes(*arguments: str) -> dict[str, str]:
    return {name: line["outcome"] for name, line in found(*arguments).items()}


@pytest.fixture(scope="module")
def demo() -> Iterator[str]:
    with served(create_app(site(), None, demo=True, clock=lambda: AT)) as (host, port):
        yield f"http://{host}:{port}/demo/fhir"


def test_the_demos_fhir_server_is_found_well_for_cards(demo: str) -> None:
    done = doctor(demo)
    assert done.exit_code == 0, done.stdout
    said = outcomes(demo)
    assert said["https"] == "warn"
    for what in ("reachable", "metadata", "Patient read", "Observation search", "Condition search", "Procedure search"):
        assert said[what] == "pass", what
    assert "pass  metadata: FHIR 4.0.1" in done.stdout


def test_a_real_fhir_server_with_smart_and_export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = pytest.importorskip("sekmet.config")
    from sekmet.main import create_app as sekmet  # type: ignore[import-untyped]

    settings = config.Settings()
    with served(sekmet(settings)) as (host, port):
        said = found(f"http://{host}:{port}/fhir")
    for what in ("reachable", "clock", "metadata", "Patient read", "Observation search", "Encounter search", "$export"):
        assert said[what]["outcome"] == "pass", said[what]
    assert said["capabilities"]["outcome"] == "warn"  # it is made for backend services and launches nothing


STATED = {
    "Patient": ([], ["read"]),
    "Observation": (["patient", "code", "date"], ["read", "search-type"]),
    "Condition": (["patient", "code"], ["read", "search-type"]),
    "Procedure": (["patient", "code", "date"], ["read", "search-type"]),
    "Encounter": (["patient", "date"], ["read", "search-type"]),
    "MedicationRequest": (["patient"], ["read", "search-type"]),
}


def capability(**changed: Any) -> Json:
    resources = [
        {
            "type": kind,
            "interaction": [{"code": code} for code in codes],
            "searchParam": [{"name": name} for name in parameters],
        }
        for kind, (parameters, codes) in STATED.items()
    ]
    export = {"name": "export", "definition": "http://hl7.org/fhir/uv/bulkdata/OperationDefinition/export"}
    rest = [{"mode": "server", "resource": resources, "operation": [export]}]
    return {"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1", "rest": rest, **changed}


SMART: Json = {
    "authorization_endpoint": "https://ehr.example.org/authorize",
    "token_endpoint": "https://ehr.example.org/token",
    "capabilities": ["launch-ehr", "context-ehr-patient", "client-confidential-asymmetric"],
    "code_challenge_methods_supported": ["S256"],
    "scopes_supported": ["launch", "openid", "fhirUser", "patient/*.rs"],
}


@pytest.fixture
def ehr() -> Iterator[Callable[..., None]]:
    """An EHR of which a part can be made poor."""
    with respx.mock(assert_all_called=False) as router:

        def make(stated: Any = None, smart: Any = None, ahead: float = 0.5, status: int = 200) -> None:
            date = {"date": format_datetime(datetime.now(UTC) + timedelta(seconds=ahead), usegmt=True)}
            said = capability() if stated is None else stated
            answer = {"content": said} if isinstance(said, bytes) else {"json": said}
            router.get(f"{BASE}/metadata").mock(httpx.Response(status, headers=date, **answer))
            router.get(f"{BASE}/.well-known/smart-configuration").mock(
                httpx.Response(200 if smart != {} else 404, json=SMART if smart is None else smart)
            )
            router.get("https://ehr.example.org/jwks").mock(httpx.Response(200, json={"keys": public(key())}))
            router.get("https://ehr.example.org/weak").mock(
                httpx.Response(200, json={"keys": public(key("ec-256", "P-256"))})
            )
            router.get("https://cds.example.org/health/ready").mock(httpx.Response(200, json={"status": "ready"}))
            router.route().mock(httpx.Response(404))

        yield make


def test_a_good_server_passes_in_everything(ehr: Callable[..., None]) -> None:
    ehr()
    done = doctor(BASE)
    assert (done.exit_code, set(outcomes(BASE).values())) == (0, {"pass"}), done.stdout
    assert "Fix" not in done.stdout


def without(kind: str, name: str) -> Json:
    stated = capability()
    for resource in stated["rest"][0]["resource"]:
        if resource["type"] == kind:
            resource["searchParam"] = [one for one in resource["searchParam"] if one["name"] != name]
            resource["interaction"] = [one for one in resource["interaction"] if one["code"] != name]
    return stated


@pytest.mark.parametrize(
    ("poor", "what", "said"),
    [
        ({"status": 401}, "metadata", "the server answered 401"),
        ({"stated": b"<html>"}, "metadata", "the answer is no JSON object"),
        ({"stated": {"resourceType": "Bundle"}}, "metadata", "this is no CapabilityStatement"),
        ({"stated": capability(fhirVersion="5.0.0")}, "metadata", "FHIR 5.0.0"),
        ({"stated": capability(fhirVersion="3.0.2")}, "metadata", "FHIR 3.0.2"),
        ({"stated": capability(rest=[])}, "Observation search", "Observation is not served"),
        ({"stated": without("Observation", "code")}, "Observation search", "without code"),
        ({"stated": without("Observation", "date")}, "Observation search", "without date"),
        ({"stated": without("Condition", "patient")}, "Condition search", "without patient"),
        ({"stated": without("Observation", "search-type")}, "Observation search", "no search-type"),
        ({"stated": without("Patient", "read")}, "Patient read", "no read"),
        ({"ahead": 40}, "clock", "differs by"),
        ({"ahead": -40}, "clock", "differs by"),
    ],
)
def test_what_is_poor_fails_with_its_fix(ehr: Callable[..., None], poor: Json, what: str, said: str) -> None:
    ehr(**poor)
    finding = found(BASE)[what]
    assert finding["outcome"] == "fail"
    assert said in finding["said"]
    assert finding["fix"]
    done = doctor(BASE)
    assert done.exit_code == 1
    assert f"fail  {what}: " in done.stdout
    assert "Fix: " in done.stdout


@pytest.mark.parametrize(
    ("poor", "what"),
    [
        ({"ahead": 10}, "clock"),
        ({"ahead": -10}, "clock"),
        ({"smart": {}}, "smart-configuration"),
        ({"smart": SMART | {"code_challenge_methods_supported": ["plain"]}}, "PKCE"),
        ({"smart": SMART | {"capabilities": []}}, "capabilities"),
        ({"smart": SMART | {"token_endpoint": "http://ehr.example.org/token"}}, "endpoints"),
        ({"smart": SMART | {"scopes_supported": ["openid"]}}, "scopes"),
        ({"stated": capability(rest=[capability()["rest"][0] | {"operation": []}])}, "$export"),
    ],
)
def test_what_cards_can_do_without_is_a_warning(ehr: Callable[..., None], poor: Json, what: str) -> None:
    ehr(**poor)
    said = found(BASE)
    assert (said[what]["outcome"], bool(said[what]["fix"])) == ("warn", True)
    assert doctor(BASE).exit_code == 0


CLIENT = f"""
trust = "clients"
public_url = "https://cds.example.org"
[[clients]]
tenant = "north"
issuer = "https://ehr.example.org"
jwks_url = "https://ehr.example.org/jwks"
fhir_base = "{BASE}"
[clients.smart]
client_id = "bedside"
"""


def test_every_registered_client_is_looked_at_and_this_server_too(ehr: Callable[..., None], tmp_path: Path) -> None:
    ehr()
    (tmp_path / "site.toml").write_text(CLIENT, encoding="utf-8")
    done = doctor("--site", str(tmp_path))
    assert done.exit_code == 0, done.stdout
    assert done.stdout.startswith("north\npass  keys: 1 usable\n")
    assert done.stdout.endswith("https://cds.example.org\npass  this server: ready under public_url\n")


@pytest.mark.parametrize(
    ("change", "poor", "what"),
    [
        (("/jwks", "/gone"), {}, "keys"),
        (("/jwks", "/weak"), {}, "keys"),
        (("https://cds.example.org", "https://nobody.example.org"), {}, "this server"),
        (("", ""), {"smart": {}}, "smart-configuration"),
    ],
)
def test_a_registration_that_does_not_fit_fails(
    ehr: Callable[..., None], tmp_path: Path, change: tuple[str, str], poor: Json, what: str
) -> None:
    ehr(**poor)
    (tmp_path / "site.toml").write_text(CLIENT.replace(*change) if change[0] else CLIENT, encoding="utf-8")
    assert outcomes("--site", str(tmp_path))[what] == "fail"
    assert doctor("--site", str(tmp_path)).exit_code == 1


def test_a_registered_version_that_the_server_does_not_speak_is_warned_of(
    ehr: Callable[..., None], tmp_path: Path
) -> None:
    ehr(stated=capability(fhirVersion="4.3.0"))
    (tmp_path / "site.toml").write_text(CLIENT, encoding="utf-8")
    assert found("--site", str(tmp_path))["fhir_version"]["fix"] == 'write fhir_version = "4.3.0"'


def test_what_is_out_of_reach_or_no_url_is_said(tmp_path: Path) -> None:
    assert outcomes("http://127.0.0.1:9/fhir") == {"https": "warn", "reachable": "fail"}
    assert doctor("ehr.example.org").exit_code == 2
    (tmp_path / "site.toml").write_text("", encoding="utf-8")
    assert "Nobody is registered" in doctor("--site", str(tmp_path)).stdout
