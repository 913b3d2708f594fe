"""`bedside score --out` as somebody types it: what it prints, how it ends, and what the ledger holds of it."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.batch.runs import whole, write
from tests.cli.command import COMMAND, EXPORT, ROOT, bedside, environment
from tests.fhir.loopback import Loopback

REGION = ("--region", "north-america", "--at", "2026-11-22")
KEY = bedside("ledger", "key").stdout.strip()


def test_a_run_is_told_on_one_screen(tmp_path: Path) -> None:
    told = bedside("score", str(EXPORT), *REGION, "--out", str(tmp_path / "out"))
    assert (told.returncode, told.stderr) == (0, "")
    first, _, row, last = told.stdout.splitlines()
    assert first == "12 patients of 243 lines, as of 2026-11-22T23:59:59Z:"
    assert row.split()[:4] == ["kfre-4", "5", "7", "0"]
    assert last.startswith(f"{tmp_path / 'out' / 'scores.parquet'} in ")


def test_json_prints_run_json_and_nothing_else(tmp_path: Path) -> None:
    told = bedside("score", str(EXPORT), *REGION, "--out", str(tmp_path / "out"), "--json")
    assert (told.returncode, told.stderr) == (0, "")
    assert json.loads(told.stdout) == json.loads((tmp_path / "out" / "run.json").read_bytes())


def test_rejects_are_counted_and_end_with_3(tmp_path: Path) -> None:
    write(tmp_path / "in" / "x.ndjson", [*whole("a"), b"{2160-0}\n"])
    told = bedside("score", str(tmp_path / "in"), *REGION, "--out", str(tmp_path / "out"))
    assert told.returncode == 3
    last = told.stderr.splitlines()[-1]
    assert last == f"1 lines were rejected: {tmp_path / 'out' / 'rejects.ndjson'} says which and why"


def test_several_models_in_one_run(tmp_path: Path) -> None:
    told = bedside("score", str(EXPORT), *REGION, "--models", "kfre-4,kfre-6", "--out", str(tmp_path / "out"), "--json")
    outcomes = json.loads(told.stdout)["outcomes"]
    assert list(outcomes) == ["kfre-4", "kfre-6"]
    assert {sum((o["scored"], *o["not_scored"].values())) for o in outcomes.values()} == {12}


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--workers", "2"), "go with --out"),
        (("--resume",), "go with --out"),
        (("--out", "{out}", "--models", "kfre-5"), "kfre-5: there is no such model"),
        (("--out", "{out}", "--prior", "{out}"), "there is no finished run"),
        (("--out", "{out}", "--engine", "flink"), "--engine"),
        (("--out", "{out}", "--prefilter", "grep"), "--prefilter"),
    ],
)
def test_what_cannot_be_done_is_said(arguments: tuple[str, ...], why: str, tmp_path: Path) -> None:
    said = [argument.format(out=tmp_path / "out") for argument in arguments]
    told = bedside("score", str(EXPORT), *REGION, *said)
    assert told.returncode == 2
    assert why in told.stderr


def test_a_run_does_not_write_among_what_it_reads(tmp_path: Path) -> None:
    write(tmp_path / "in" / "x.ndjson", whole("a"))
    told = bedside("score", str(tmp_path / "in"), *REGION, "--out", f"{tmp_path}/in/../in")
    assert told.returncode == 2
    assert "that is the export itself" in told.stderr
    assert [path.name for path in (tmp_path / "in").iterdir()] == ["x.ndjson"]


def test_packed_files_are_not_passed_over_without_out(tmp_path: Path) -> None:
    write(tmp_path / "in" / "x.ndjson", whole("a"))
    (tmp_path / "in" / "y.ndjson.gz").touch()
    for place in (tmp_path / "in", tmp_path / "in" / "y.ndjson.gz"):
        told = bedside("score", str(place), *REGION)
        assert told.returncode == 2
        assert "y.ndjson.gz: packed files are read with `bedside score … --out`" in told.stderr


def test_without_a_region_no_population_is_scored(tmp_path: Path) -> None:
    told = bedside("score", str(EXPORT), "--out", str(tmp_path / "out"))
    assert told.returncode == 2
    assert "--region" in told.stderr
    assert not (tmp_path / "out").exists()


def test_a_bundle_is_sent_the_other_way(tmp_path: Path) -> None:
    (tmp_path / "b.json").write_text("{}")
    told = bedside("score", str(tmp_path / "b.json"), *REGION, "--out", str(tmp_path / "out"))
    assert told.returncode == 2
    assert told.stderr == "b.json: with --out, files are .ndjson or .ndjson.gz; without it, Bundles too\n"


@pytest.mark.proves(
    "R38", "a run in the ledger: who, as of when, models, counts and the digests of its outputs; no patient"
)
def test_a_site_with_a_ledger_keeps_who_ran_what(tmp_path: Path) -> None:
    own = {"BEDSIDE_LEDGER_KEY": KEY, "BEDSIDE_LEDGER": f"sqlite:///{tmp_path / 'ledger.sqlite'}"}
    assert bedside("ledger", "upgrade", **own).returncode == 0
    told = bedside("score", str(EXPORT), *REGION, "--out", str(tmp_path / "out"), "--json", **own)
    assert told.returncode == 0, told.stderr
    audited = bedside("audit", "export", **own)
    events = [e for e in map(json.loads, audited.stdout.splitlines()) if "batch-run" in json.dumps(e)]
    begun, details = ({d["type"]: d["valueString"] for x in e["entity"] for d in x["detail"]} for e in events)
    assert (begun["state"], details["state"], details["how"]) == ("begins", "ended", "whole")
    again = bedside("score", str(EXPORT), *REGION, "--out", str(tmp_path / "out"), **own)
    assert (again.returncode, again.stderr) == (2, f"{tmp_path / 'out'} holds a finished run: choose another folder\n")
    assert '"refused"' in bedside("audit", "export", **own).stdout
    report = json.loads(told.stdout)
    assert details["scores.parquet"] == report["outputs"]["scores.parquet"]["sha256"]
    assert (details["patients"], details["scored"], details["models"]) == ("12", "5", "kfre-4 1.0.0")
    assert not [row for row in ("refer-64m", "low-68f") if row in audited.stdout]
    assert bedside("audit", "verify", **own).returncode == 0


def test_a_run_whose_words_nobody_reads_has_its_end_in_the_ledger(tmp_path: Path) -> None:
    own = {"BEDSIDE_LEDGER_KEY": KEY, "BEDSIDE_LEDGER": f"sqlite:///{tmp_path / 'ledger.sqlite'}"}
    assert bedside("ledger", "upgrade", **own).returncode == 0
    read, written = os.pipe()
    os.close(read)
    command = [*COMMAND, "score", str(EXPORT), *REGION, "--out", str(tmp_path / "out"), "--json"]
    subprocess.run(command, stdout=written, stderr=subprocess.DEVNULL, cwd=ROOT, env=environment(**own), check=False)
    os.close(written)
    assert '"whole"' in bedside("audit", "export", **own).stdout


def test_a_ledger_that_is_not_ready_is_told_before_anybody_is_scored(tmp_path: Path) -> None:
    own = {"BEDSIDE_LEDGER_KEY": KEY, "BEDSIDE_LEDGER": f"sqlite:///{tmp_path / 'ledger.sqlite'}"}
    told = bedside("score", str(EXPORT), *REGION, "--out", str(tmp_path / "out"), **own)
    assert (told.returncode, told.stdout) == (2, "")
    assert "bedside ledger upgrade" in told.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.proves(
    "R38", "a write-back in the ledger before its first request and after its last; none when it cannot be"
)
def test_what_is_written_to_a_server_is_in_the_ledger_first(tmp_path: Path) -> None:
    own = {"BEDSIDE_LEDGER_KEY": KEY, "BEDSIDE_LEDGER": f"sqlite:///{tmp_path / 'ledger.sqlite'}"}
    assert bedside("score", str(EXPORT), *REGION, "--out", str(tmp_path / "out")).returncode == 0
    with Loopback() as server:  # which knows nothing: 404, whatever it is asked
        there = ("write", str(tmp_path / "out"), "--to", server.base, "--no-auth")
        without = bedside(*there, **own)
        assert (without.returncode, server.seen) == (2, [])
        assert "bedside ledger upgrade" in without.stderr
        assert bedside("ledger", "upgrade", **own).returncode == 0
        assert bedside(*there, **own).returncode == 1
        assert server.seen
    audited = bedside("audit", "export", **own).stdout
    assert '"begins"' in audited
    assert server.base in audited


def test_a_model_named_twice_scores_once_and_none_at_all_is_refused(tmp_path: Path) -> None:
    told = bedside(
        "score", str(EXPORT), *REGION, "--models", "kfre-4, kfre-4", "--out", str(tmp_path / "out"), "--json"
    )
    assert json.loads(told.stdout)["outcomes"]["kfre-4"]["scored"] == 5
    none = bedside("score", str(EXPORT), *REGION, "--models", ",", "--out", str(tmp_path / "none"))
    assert none.returncode == 2


def test_a_run_json_that_is_none_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    for content in ("{", "[]", "{}"):
        (tmp_path / "out" / "run.json").write_text(content)
        told = bedside("score", str(EXPORT), *REGION, "--out", str(tmp_path / "out"), "--resume")
        assert told.returncode == 2
        assert "run.json is no run's record" in told.stderr
