"""`bedside client`: who may call, written into site.toml without disturbing it."""

import json
import os
from pathlib import Path

import httpx
import pytest
import respx
import tomlkit
from typer.testing import CliRunner, Result

from cds.cli import site_toml
from cds.cli.main import app
from cds.errors import SiteError
from cds.settings import read_settings
from cds.site import load_site
from cds.trust import Clients
from tests.trust.ehr import key, public

RUN = CliRunner()
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a file another account's")
BASE = "https://ehr.example.org/fhir/r4"
SITE = """# Our clinic. Ask Ada before changing anything.
trust = "clients"            # not open
public_url = "https://cds.example.org"
region = "north-america"

# The first one, since May.
[[clients]]
issuer   = "https://first.example.org"   # odd spacing stays
tenant   = "first"
jwks_url = "https://first.example.org/jwks"

[clients.smart]
client_id = "bedside-first"  # from their portal

[services.kidney-failure-risk]
stage = "live"               # since the evaluation
"""
SECOND = ("--tenant", "second", "--issuer", "https://second.example.org", "--jwks-url", "https://second.example.org/k")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    text = SITE.replace("[clients.smart]", f'fhir_base = "{BASE}"\n\n[clients.smart]')
    (tmp_path / "site.toml").write_text(text, encoding="utf-8")
    return tmp_path


def client(folder: Path, *arguments: str) -> Result:
    return RUN.invoke(app, ["client", *arguments, "--site", str(folder)])


def text(folder: Path) -> str:
    return (folder / "site.toml").read_text(encoding="utf-8")


def test_an_ehr_is_added_and_not_a_letter_of_the_rest_changes(folder: Path) -> None:
    before = text(folder)
    done = client(folder, "add", *SECOND)
    assert done.exit_code == 0, done.stderr
    assert "second is registered in site.toml. A running server takes it on SIGHUP" in done.stdout
    after = text(folder)
    added = [line for line in after.splitlines() if line not in before.splitlines()]
    assert added == ['tenant = "second"', 'issuer = "https://second.example.org"', f'jwks_url = "{SECOND[5]}"']
    assert [line for line in after.splitlines() if line and line not in added].count("[[clients]]") == 2
    assert all(line in after for line in before.splitlines())
    assert after.startswith(before[: before.index("[services")].rstrip())
    assert list(load_site(folder).tenants) == ["first", "second"]


def test_every_option_reaches_the_registration(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "keys.json").write_text(json.dumps({"keys": public(key())}), encoding="utf-8")
    done = client(
        folder, "add", "--tenant", "third", "--issuer", "https://third.example.org",
        "--jwks", str(tmp_path / "keys.json"), "--fhir-base", "https://third.example.org/fhir", "--no-check",
        "--fhir-version", "4.3.0", "--services", "kidney-failure-risk", "--hooks", "patient-view",
        "--browser-origin", "https://third.example.org", "--region", "elsewhere", "--actions", "create",
        "--stage", "kidney-failure-risk=shadow", "--smart-client-id", "bedside", "--smart-auth", "public",
        "--smart-algorithm", "RS384", "--frame-ancestor", "https://third.example.org", "--save",
        "--backend-client-id", "night", "--backend-algorithm", "RS384", "--file-host", "https://files.example.org",
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    made = Clients.read(read_settings(folder).clients).of("https://third.example.org")
    assert made is not None
    assert made.pinned is not None
    assert made.model_dump(exclude={"jwks", "smart"}, exclude_defaults=True) == {
        "tenant": "third",
        "issuer": "https://third.example.org",
        "fhir_base": "https://third.example.org/fhir",
        "fhir_version": "4.3.0",
        "services": {"kidney-failure-risk"},
        "hooks": {"patient-view"},
        "browser_origins": ("https://third.example.org",),
        "region": "elsewhere",
        "actions": {"create"},
        "stages": {"kidney-failure-risk": "shadow"},
        "backend": {"client_id": "night", "algorithm": "RS384", "file_hosts": ("https://files.example.org",)},
    }
    assert made.smart is not None
    assert made.smart.model_dump() == {
        "client_id": "bedside",
        "auth": "public",
        "algorithm": "RS384",
        "frame_ancestors": ("https://third.example.org",),
        "save": True,
        "hosts": (),
        "identity": "required",
        "standalone": False,
    }


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--tenant", "Second!", *SECOND[2:]), "tenant"),
        (("--tenant", "first", *SECOND[2:]), "one tenant"),
        ((*SECOND[:2], "--issuer", "https://first.example.org", *SECOND[4:]), "one issuer"),
        (SECOND[:4], "without jwks_url or jwks"),
        ((*SECOND[:5], "http://second.example.org/k"), "https"),
        ((*SECOND, "--fhir-base", "ftp://second.example.org"), "https"),
        ((*SECOND, "--services", "kidney-failure"), "unknown kidney-failure; there are"),
        ((*SECOND, "--hooks", "patient-vew"), "unknown patient-vew"),
        ((*SECOND, "--stage", "kidney-failure-risk"), "write SERVICE=live"),
        ((*SECOND, "--stage", "kidney-failure-risk=on"), "stages.kidney-failure-risk"),
        ((*SECOND, "--region", "atlantis"), "region"),
        ((*SECOND, "--smart-client-id", "bedside"), "fhir_base"),
        ((*SECOND, "--fhir-version", "5.0.0"), "R4"),
        ((*SECOND[:4], "--jwks", "/nowhere"), "--jwks /nowhere: No such file"),
    ],
)
def test_a_slip_is_told_and_changes_nothing(folder: Path, arguments: tuple[str, ...], said: str) -> None:
    before = text(folder)
    done = client(folder, "add", *arguments, "--no-check")
    assert done.exit_code == 2
    assert said in done.stderr
    assert text(folder) == before
    assert [path.name for path in folder.iterdir()] == ["site.toml"]


def test_with_a_fhir_base_it_offers_what_the_doctor_finds(folder: Path) -> None:
    stated = {"resourceType": "CapabilityStatement", "fhirVersion": "4.3.0", "rest": []}
    with respx.mock(assert_all_called=False) as router:
        router.get("https://second.example.org/fhir/metadata").mock(httpx.Response(200, json=stated))
        router.route().mock(httpx.Response(404))
        done = client(folder, "add", *SECOND, "--fhir-base", "https://second.example.org/fhir")
    assert done.exit_code == 0, done.stderr
    assert "pass  metadata: FHIR 4.3.0" in done.stdout
    assert "fail  Observation search: Observation is not served" in done.stdout
    made = Clients.read(read_settings(folder).clients).of("https://second.example.org")
    assert made is not None
    assert made.fhir_version == "4.3.0"


def test_the_first_ehr_of_an_empty_site(tmp_path: Path) -> None:
    done = client(tmp_path, "add", *SECOND)
    assert done.exit_code == 0, done.stderr
    assert 'set trust = "clients" and public_url' in done.stderr
    assert tomlkit.parse(text(tmp_path)).unwrap()["clients"][0]["tenant"] == "second"
    assert client(tmp_path / "nowhere", "add", *SECOND).exit_code == 2


def test_the_list_names_each_with_its_stage(folder: Path) -> None:
    client(folder, "add", *SECOND, "--stage", "kidney-failure-risk=shadow", "--services", "kidney-failure-risk")
    lines = [json.loads(line) for line in client(folder, "list", "--json").stdout.splitlines()]
    assert [(one["tenant"], one["stages"], one["smart"], one["revoked"]) for one in lines] == [
        ("first", {"kidney-failure-risk": "live"}, True, False),
        ("second", {"kidney-failure-risk": "shadow"}, False, False),
    ]
    table = client(folder, "list").stdout
    for word in ("Tenant", "https://first.example.org", BASE, "kidney-failure-risk: shadow", "second"):
        assert word in table


def test_the_list_tells_what_is_served_and_not_what_a_table_leaves_open(folder: Path) -> None:
    site = folder / "site.toml"
    more = 'default_stage = "live"\n\n[services.nephrotoxic-order]\nshow_low_risk = true\n'
    site.write_text(site.read_text().replace('region = "north-america"\n', f'region = "north-america"\n{more}'))
    (line,) = (json.loads(line) for line in client(folder, "list", "--json").stdout.splitlines())
    assert line["stages"]["liver-fibrosis"] == "live", "by the default, without a table of its own"
    assert "nephrotoxic-order" not in line["stages"], "which goes live by its own name only"


def test_the_list_of_a_site_that_does_not_start_names_who_is_registered(folder: Path) -> None:
    site = folder / "site.toml"
    site.write_text(site.read_text().replace("[services.kidney-failure-risk]", "[services.kidney-failure-rsk]"))
    done = client(folder, "list", "--json")
    assert done.exit_code == 0
    assert '"tenant":"first"' in done.stdout
    assert '"stages":{}' in done.stdout
    assert "The site does not start, so nobody is served: " in done.stderr
    assert "kidney-failure-rsk" in done.stderr


def test_the_list_of_nobody_says_so(tmp_path: Path) -> None:
    assert "Nobody is registered" in client(tmp_path, "list").stdout


def test_what_the_ehrs_own_registration_asks_for_is_told(tmp_path: Path) -> None:
    (tmp_path / "site.toml").write_text('public_url = "https://cds.example.org/bedside"\n')
    smart = ("--fhir-base", "https://second.example.org/fhir", "--smart-client-id", "bedside", "--no-check")
    done = client(tmp_path, "add", *SECOND, *smart)
    assert done.exit_code == 0, done.stderr
    for path in ("/cds-services", "/smart/launch", "/smart/callback", "/.well-known/jwks.json"):
        assert f"https://cds.example.org/bedside{path}\n" in done.stdout


def test_a_revoked_ehr_keeps_its_table_and_is_not_served(folder: Path) -> None:
    before = text(folder).splitlines()
    done = client(folder, "revoke", "first")
    assert done.exit_code == 0, done.stderr
    assert "SIGHUP" in done.stdout
    assert set(text(folder).splitlines()) - set(before) == {"revoked = true"}
    assert load_site(folder).tenants == {}
    assert Clients.read(read_settings(folder).clients).of("https://first.example.org") is None
    assert client(folder, "revoke", "first").exit_code == 0
    assert '"revoked":true' in client(folder, "list", "--json").stdout
    unknown = client(folder, "revoke", "fisrt")
    assert (unknown.exit_code, "fisrt: there is no such client; there are first" in unknown.stderr) == (2, True)


def test_a_broken_site_toml_is_left_alone(folder: Path) -> None:
    (folder / "site.toml").write_text("trust = ", encoding="utf-8")
    assert client(folder, "add", *SECOND).exit_code == 2
    assert text(folder) == "trust = "


def test_rights_and_links_of_the_file_stay(folder: Path) -> None:
    (folder / "site.toml").chmod(0o640)
    (folder / "site.toml").rename(folder / "real.toml")
    (folder / "site.toml").symlink_to("real.toml")
    assert client(folder, "revoke", "first").exit_code == 0
    assert (folder / "site.toml").is_symlink()
    assert (folder / "real.toml").stat().st_mode & 0o777 == 0o640


@AS_ROOT
def test_root_leaves_the_file_with_the_servers_account(folder: Path) -> None:
    os.chown(folder / "site.toml", 12345, 23456)
    (folder / "site.toml").chmod(0o600)
    for arguments in (("revoke", "first"), ("add", *SECOND)):
        assert client(folder, *arguments).exit_code == 0
        found = (folder / "site.toml").stat()
        assert (found.st_uid, found.st_gid, found.st_mode & 0o777) == (12345, 23456, 0o600)


@AS_ROOT
def test_who_may_not_give_the_file_back_changes_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    before = text(folder)
    os.chown(folder / "site.toml", 12345, 23456)
    monkeypatch.setattr(os, "fchown", refuse)
    with pytest.raises(SiteError, match="run this as that account, or as root"):
        site_toml.edit(folder, lambda document: document.update(region="elsewhere"))
    assert text(folder) == before
    assert [path.name for path in folder.iterdir() if path.name.startswith(".site")] == []


def test_a_change_by_somebody_else_meanwhile_is_not_lost(folder: Path) -> None:
    def change(document: tomlkit.TOMLDocument) -> None:
        document["region"] = "elsewhere"
        (folder / "site.toml").write_text(SITE + "# theirs\n", encoding="utf-8")

    with pytest.raises(SiteError, match="meanwhile"):
        site_toml.edit(folder, change)
    assert text(folder).endswith("# theirs\n")
