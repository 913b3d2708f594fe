"""The command line as somebody uses it: what it prints, and with which exit code it ends."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from cds.cli.keys import own_keys
from cds.errors import SiteError
from cds.ledger import Keyring
from cds.settings import Settings
from tests.cli.command import AT, EXPORT, PATIENTS, ROOT, bedside

SITE = """
trust = "open-on-loopback"
region = "north-america"

[services.kidney-failure-risk]
stage = "live"
"""


def scored(*arguments: str) -> dict[str, dict[str, object]]:
    done = bedside("score", *arguments, "--json", "--region", "north-america", "--at", AT)
    assert done.returncode == 0, done.stderr
    return {line["patient"]: line for line in map(json.loads, done.stdout.splitlines())}


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "site.toml").write_text(SITE)
    return tmp_path


def test_score_answers_every_patient_of_the_export() -> None:
    lines = scored(str(EXPORT))
    assert len(lines) == 12
    five_years = {name: line["estimates"][1]["probability"] for name, line in lines.items() if "estimates" in line}  # type: ignore[index]
    assert {name: round(p * 100, 1) for name, p in five_years.items()} == {
        "high-58m": 93.9,
        "low-68f": 1.1,
        "refer-64m": 15.4,
        "si-units-66m": 18.8,
        "single-61f": 7.5,
    }


def test_score_gives_a_reason_for_everybody_else() -> None:
    lines = scored(str(EXPORT))
    assert {name: line["reason"] for name, line in lines.items() if line["outcome"] == "not-scored"} == {
        "aki-71f": "aki",
        "deceased-74f": "deceased",
        "dialysis-59f": "dialysis",
        "missing-55f": "acr-too-old",
        "stale-73f": "egfr-too-old",
        "transplant-47m": "kidney-transplant",
        "unit-70m": "acr-unit-not-accepted",
    }


def test_a_bundle_and_the_export_give_the_same_line() -> None:
    assert scored(str(PATIENTS / "refer.json"))["refer-64m"] == scored(str(EXPORT))["refer-64m"]


def test_score_without_a_region_is_a_usage_error_that_says_so() -> None:
    """D30: a region is never guessed."""
    done = bedside("score", str(EXPORT))
    assert done.returncode == 2
    assert "region is not set" in done.stderr


def test_score_ends_with_3_when_something_was_rejected(tmp_path: Path) -> None:
    (tmp_path / "Patient.ndjson").write_text('{"resourceType":"Patient","id":"a"}\n')
    (tmp_path / "Observation.ndjson").write_text(
        '{"resourceType":"Observation","status":"final"}\n'
        "not json\n"
        '{"resourceType":"Observation","subject":{"reference":"Patient/b"}}\n'
    )
    done = bedside("score", str(tmp_path), "--json", "--region", "elsewhere")
    assert done.returncode == 3
    assert [json.loads(line)["reason"] for line in done.stdout.splitlines()] == ["age"]
    assert "Observation.ndjson:1: rejected: Observation: its subject has no reference" in done.stderr
    assert "Observation.ndjson:2: rejected: JSON is malformed" in done.stderr
    assert "Observation.ndjson:3: rejected: Observation: its patient is not in the data" in done.stderr


def test_card_answers_a_request_without_a_server(tmp_path: Path) -> None:
    request = {
        "hook": "patient-view",
        "hookInstance": "d1577c69-dfbe-44ad-ba6d-3e05e953b2ea",
        "context": {"userId": "Practitioner/p", "patientId": "nobody"},
    }
    path = tmp_path / "request.json"
    path.write_text(json.dumps(request))
    done = bedside("card", str(path), "--region", "north-america")
    assert done.returncode == 1
    assert json.loads(done.stdout)["resourceType"] == "OperationOutcome"
    assert "prefetch.conditions" in done.stdout


def test_card_refuses_what_is_no_request(tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text("{}")
    done = bedside("card", str(tmp_path / "r.json"), "--region", "north-america")
    assert (done.returncode, done.stderr.strip()) == (2, "hook is required")


@pytest.mark.parametrize("name", ["kfre-4", "kfre-6", "kfre-8"])
def test_models_show_prints_the_fact_sheet_with_what_is_unverified(name: str) -> None:
    done = bedside("models", "show", name, "--region", "elsewhere")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 100
    assert lines.index("NOT VERIFIED") < lines.index("Outcome")
    assert "! UNVERIFIED  A published baseline for the United Kingdom" in done.stdout
    assert "JAMA 2016;315:164" in " ".join(done.stdout.split())
    for heading in ("Intended use", "Population", "Cautions", "Thresholds", "What was checked against what", "Licence"):
        assert heading in lines


def test_models_show_gives_the_31_attributes_to_a_machine() -> None:
    done = bedside("models", "show", "kfre-4", "--region", "elsewhere", "--json")
    told = json.loads(done.stdout)
    assert [one["asked"]["number"] for one in told["attributes"]] == list(range(1, 32))
    assert {one["basis"] for one in told["attributes"]} == {"authored", "computed", "not available"}
    assert told["prefetch"]["patient"] == "Patient/{{context.patientId}}"
    assert "Observation" in told["bulk_types"]


def test_models_show_gives_the_sheet_of_a_model_that_is_not_ready_and_says_so() -> None:
    done = bedside("models", "show", "kfre-4")
    assert done.returncode == 0
    assert "Not ready here: region is not set" in done.stdout


def test_models_show_names_the_models_that_there_are() -> None:
    done = bedside("models", "show", "nothing")
    assert done.returncode == 2
    assert "kfre-4" in done.stderr


def test_models_lists_one_line_of_json_each() -> None:
    listed = [json.loads(line) for line in bedside("models", "--json", "--region", "elsewhere").stdout.splitlines()]
    assert {"kfre-4", "kfre-6", "kfre-8"} <= {one["id"] for one in listed if one["state"] == "ready"}


def test_models_lists_what_is_not_ready_and_why() -> None:
    assert "region is not set" in bedside("models").stdout


def test_serve_refuses_without_trust(site: Path) -> None:
    """D24: exit code 4, refused for safety."""
    (site / "site.toml").write_text(SITE.replace('trust = "open-on-loopback"', ""))
    done = bedside("serve", "--site", str(site))
    assert done.returncode == 4
    assert "refused" in done.stderr


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.7", "::"])
def test_serve_refuses_to_be_reachable_by_others(host: str) -> None:
    assert bedside("serve", "--demo", "--host", host).returncode == 4


def test_serve_needs_a_ledger_key(site: Path) -> None:
    done = bedside("serve", "--site", str(site))
    assert done.returncode == 2
    assert "BEDSIDE_LEDGER_KEY" in done.stderr


def test_an_unknown_key_in_site_toml_is_an_error(site: Path) -> None:
    (site / "site.toml").write_text(SITE + "\n[models.kfre]\nreigon = 1\n")
    done = bedside("check", "--site", str(site))
    assert done.returncode == 1
    assert "models.kfre.reigon" in done.stdout


def test_check_says_what_fails_and_how_to_mend_it() -> None:
    done = bedside("check")
    assert done.returncode == 1
    assert "fail  trust" in done.stdout
    assert "bedside ledger key" in done.stdout


def test_check_finds_the_keys_missing_with_which_a_smart_app_signs(site: Path) -> None:
    (site / "site.toml").write_text(
        SITE + '\n[[clients]]\ntenant = "north-clinic"\nissuer = "https://ehr.example.org"\n'
        'jwks_url = "https://ehr.example.org/jwks.json"\nfhir_base = "https://ehr.example.org/fhir"\n'
        '[clients.smart]\nclient_id = "bedside"\n'
    )
    said = bedside("check", "--site", str(site)).stdout
    assert "fail  signing keys" in said
    assert "`bedside keys rotate` makes its keys" in said
    assert bedside("keys", "rotate", "--site", str(site)).returncode == 0
    assert "pass  signing keys" in bedside("check", "--site", str(site)).stdout


def test_check_finds_the_keys_missing_with_which_exports_and_write_back_sign_in(site: Path) -> None:
    client = (
        '\n[[clients]]\ntenant = "north-clinic"\nissuer = "https://ehr.example.org"\n'
        'jwks_url = "https://ehr.example.org/jwks.json"\nfhir_base = "https://ehr.example.org/fhir"\n'
        'backend = {client_id = "bedside-night"}\n'
    )
    (site / "site.toml").write_text(SITE + client)
    said = bedside("check", "--site", str(site)).stdout
    assert "fail  signing keys" in said
    assert "exports and write-back sign in with our keys; `bedside keys rotate` makes them" in said
    (site / "site.toml").write_text(f"{SITE}{client}revoked = true\n")
    assert "pass  signing keys" in bedside("check", "--site", str(site)).stdout


def test_a_server_starts_without_the_keys_that_only_exports_need(tmp_path: Path) -> None:
    settings = Settings.model_construct(clients=({"backend": {"client_id": "bedside-night"}},), keys=None)
    assert own_keys(settings, tmp_path) is None
    with pytest.raises(SiteError, match="keys rotate"):
        own_keys(settings, tmp_path, backend=True)


def test_a_fault_of_the_whole_site_is_one_sentence(site: Path) -> None:
    (site / "site.toml").write_text('trust = "clients"\npublic_url = "https://cds.example.org"\n')
    said = bedside("check", "--site", str(site)).stdout
    assert 'site.toml or BEDSIDE_*: trust = "clients" needs public_url and one [[clients]] table' in said


def test_check_passes_on_a_whole_site(site: Path) -> None:
    ledger = {"BEDSIDE_LEDGER": f"sqlite:///{site / 'l.sqlite'}", "BEDSIDE_LEDGER_KEY": Keyring.generate().text()}
    assert bedside("ledger", "upgrade", "--site", str(site), **ledger).returncode == 0
    done = bedside("check", "--site", str(site), **ledger)
    assert {line.split()[0] for line in done.stdout.splitlines()} == {"pass", "off"}
    assert done.returncode == 0


def test_check_names_what_was_sent_and_stands_in_no_ledger(site: Path) -> None:
    ledger = {"BEDSIDE_LEDGER": f"sqlite:///{site / 'l.sqlite'}", "BEDSIDE_LEDGER_KEY": Keyring.generate().text()}
    assert bedside("ledger", "upgrade", "--site", str(site), **ledger).returncode == 0
    (site / "spool").mkdir()
    spool = {"BEDSIDE_SPOOL": str(site / "spool")}
    assert "pass  spool" in bedside("check", "--site", str(site), **ledger, **spool).stdout
    (site / "spool" / "7-ab.refused").touch()
    done = bedside("check", "--site", str(site), **ledger, **spool)
    assert done.returncode == 1
    assert "fail  spool: 7-ab.refused" in done.stdout


def test_check_counts_what_an_export_holds_and_what_does_not_map() -> None:
    """D29: local codes and units are found by looking."""
    done = bedside("check", str(EXPORT), "--region", "north-america")
    assert done.returncode == 0
    assert "http://loinc.org|2160-0" in done.stdout
    assert "unit (none) is not accepted" in done.stdout


def test_a_top_level_init_in_a_site_is_a_clear_error(site: Path) -> None:
    """D28: it would hide Bedside's own models."""
    (site / "models").mkdir()
    (site / "models" / "__init__.py").touch()
    done = bedside("models", "--site", str(site))
    assert done.returncode == 2
    assert "namespace" in done.stderr


def test_a_sites_own_service_lives_beside_ours(site: Path) -> None:
    (site / "hooks").mkdir()
    (site / "hooks" / "greeting.py").write_text(
        '"""Says nothing."""\nfrom cds import Guidance, HookCall, hook\n\n'
        '@hook("patient-view", id="greeting", title="G", description="Silent", models=("kfre-4",))\n'
        "def greeting(call: HookCall) -> Guidance:\n    return Guidance()\n"
    )
    done = bedside("check", "--site", str(site))
    assert "off   service greeting" in done.stdout
    assert "pass  service kidney-failure-risk" in done.stdout


def test_help_names_every_command_and_the_exit_codes() -> None:
    done = bedside("--help")
    for word in ("serve", "card", "score", "models", "check", "replay", "ledger", "audit", "4 refused for"):
        assert word in done.stdout


def test_the_command_starts_fast_without_the_heavy_libraries() -> None:
    """No command pays for what it does not use."""
    probe = (
        "import sys, cds.cli.main; "
        "print([m for m in ('sklearn', 'fhir', 'alembic', 'uvicorn', 'fastapi') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"
