"""What cannot be done is said in a sentence, with an exit code and without a traceback."""

import json
import subprocess
from pathlib import Path

import pytest

from cds.ledger import Keyring
from tests.cli.command import COMMAND, EXPORT, ROOT, bedside, environment


@pytest.mark.parametrize("at", ["0001-01-01", "1899-12-31T23:59:59Z", "2201-01-01", "9999-12-31"])
def test_a_time_beyond_any_chart_is_a_usage_error(at: str) -> None:
    done = bedside("score", str(EXPORT), "--region", "elsewhere", "--at", at)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"--at {at}: the year lies between 1900 and 2200\n"


def test_the_option_at_fault_is_named(tmp_path: Path) -> None:
    done = bedside("replay", "--demo", "--since", "foo", XDG_DATA_HOME=str(tmp_path))
    assert done.returncode == 2
    assert done.stderr.startswith("--since foo: ")


@pytest.mark.parametrize("command", ["serve", "replay"])
def test_the_demo_without_a_place_for_its_ledger_never_says_open(tmp_path: Path, command: str) -> None:
    (tmp_path / "file").touch()
    done = bedside(command, "--demo", XDG_DATA_HOME=str(tmp_path / "file"))
    assert done.returncode == 2
    assert "XDG_DATA_HOME" in done.stderr
    assert "Open http" not in done.stderr
    assert "Traceback" not in done.stderr


def test_a_site_toml_that_is_not_utf8(tmp_path: Path) -> None:
    (tmp_path / "site.toml").write_bytes('region = "é"'.encode("latin-1"))
    done = bedside("models", "--site", str(tmp_path))
    assert (done.returncode, done.stderr) == (2, "site.toml is not UTF-8: save it so\n")


def test_an_unknown_variable_is_an_error_that_names_it() -> None:
    done = bedside("models", BEDSIDE_REIGON="elsewhere")
    assert done.returncode == 2
    assert "BEDSIDE_REIGON" in done.stderr


def test_variables_that_are_no_settings_stop_nothing() -> None:
    others = ("BENCH_LEDGER", "TEST_DATA", "PROOF", "LEDGER_PASSWORD")
    done = bedside("models", BEDSIDE_REGION="elsewhere", **{f"BEDSIDE_{name}": "1" for name in others})
    assert done.returncode == 0, done.stderr


def test_a_ledger_out_of_reach_says_which_setting_to_look_at() -> None:
    said = "the ledger's database cannot be reached: check BEDSIDE_LEDGER\n"
    key = Keyring.generate().text()
    nowhere = {"BEDSIDE_LEDGER": "postgresql://x:canary@127.0.0.1:1/x", "BEDSIDE_LEDGER_KEY": key}
    upgraded = bedside("ledger", "upgrade", **nowhere)
    assert (upgraded.returncode, upgraded.stdout, upgraded.stderr) == (1, "", said)
    assert f"fail  ledger: {said}" in bedside("check", **nowhere).stdout


def test_a_sqlite_that_cannot_be_opened_is_out_of_reach_too(tmp_path: Path) -> None:
    (tmp_path / "l.sqlite").mkdir()
    url, key = f"sqlite:///{tmp_path / 'l.sqlite'}", Keyring.generate().text()
    done = bedside("check", BEDSIDE_LEDGER=url, BEDSIDE_LEDGER_KEY=key)
    assert "fail  ledger: the ledger's database cannot be reached: check BEDSIDE_LEDGER" in done.stdout


def test_the_version_is_the_projects() -> None:
    done = bedside("--version")
    assert (done.returncode, done.stdout) == (0, "bedside 0.1.0\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ("score", str(EXPORT), "--region", "elsewhere"),
        ("score", str(EXPORT), "--region", "elsewhere", "--json"),
        ("models", "show", "kfre-4", "--region", "elsewhere"),
        ("ledger", "key"),
    ],
)
def test_a_closed_pipe_ends_quietly(arguments: tuple[str, ...]) -> None:
    process = subprocess.Popen(
        [*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT, env=environment()
    )
    assert process.stdout
    assert process.stderr
    process.stdout.close()
    told = process.stderr.read()
    process.stderr.close()
    assert (process.wait(timeout=60), told) == (141, b"")


def test_a_request_that_comes_with_the_fixtures_gets_its_card() -> None:
    path = ROOT / "fhir_fixtures" / "requests" / "refer.json"
    done = bedside("card", str(path), "--region", "north-america", "--at", "2026-11-22T14:02:00Z")
    (card,) = json.loads(done.stdout)["cards"]
    assert (done.returncode, card["indicator"]) == (0, "info")
    assert "15.4%" in card["summary"]
