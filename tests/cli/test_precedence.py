"""What is said in several places: the command line wins, then a variable, then site.toml; the demo is apart."""

from pathlib import Path

import pytest

from cds.cli.common import open_ledger
from cds.cli.serve import demo_settings
from cds.ledger import Keyring
from cds.settings import read_settings
from tests.cli.command import EXPORT, bedside


def test_the_command_line_wins_over_a_variable_and_that_over_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "site.toml").write_text('region = "file"\nmute_days = 7\n[models.kfre]\nregion = "file"\n')
    assert read_settings(tmp_path).region == "file"
    monkeypatch.setenv("BEDSIDE_REGION", "variable")
    assert read_settings(tmp_path).region == "variable"
    said = read_settings(tmp_path, region="said", models={"flchain": {}})
    assert (said.region, said.models, said.mute_days) == ("said", {"flchain": {}}, 7)
    assert read_settings(tmp_path, region=None).models == {"kfre": {"region": "file"}}


def test_a_region_on_the_command_line_is_the_one_that_scores() -> None:
    at = ("--at", "2026-11-22", "--json")
    said = bedside("score", str(EXPORT), "--region", "elsewhere", *at).stdout
    assert bedside("score", str(EXPORT), "--region", "elsewhere", *at, BEDSIDE_REGION="north-america").stdout == said
    assert bedside("score", str(EXPORT), "--region", "north-america", *at).stdout != said


def test_the_demo_takes_the_region_that_was_said_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    (tmp_path / "site.toml").write_text('region = "elsewhere"\n')
    base = "http://127.0.0.1:1"
    assert demo_settings(None, base, None).region == "north-america"
    assert demo_settings(tmp_path, base, None).region == "elsewhere"
    assert demo_settings(tmp_path, base, "north-america").region == "north-america"
    monkeypatch.setenv("BEDSIDE_REGION", "elsewhere")
    assert demo_settings(None, base, None).region == "elsewhere"


def test_the_demo_writes_into_no_ledger_but_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site, spool = tmp_path / "site.sqlite", tmp_path / "spool"
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("BEDSIDE_LEDGER", f"sqlite:///{site}")
    monkeypatch.setenv("BEDSIDE_LEDGER_KEY", Keyring.generate().text())
    monkeypatch.setenv("BEDSIDE_SPOOL", str(spool))
    with open_ledger(demo_settings(None, "http://127.0.0.1:1", None), demo=True, serving=True):
        assert (tmp_path / "data" / "bedside" / "demo.sqlite").exists()
    assert not site.exists()
    assert not spool.exists()


@pytest.mark.parametrize("text", ["2026-11-22T10:00:00", "2026-11-22T10"])
def test_an_instant_without_its_offset_is_another_one_everywhere(text: str) -> None:
    done = bedside("score", str(EXPORT), "--region", "elsewhere", "--at", text)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"--at {text}: an instant needs its offset" in done.stderr
