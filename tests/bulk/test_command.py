"""`bedside export` as somebody in a shell meets it: what it prints, how it ends, and what Ctrl-C leaves."""

import json
import os
import pty
import signal
import subprocess
import time
from pathlib import Path

import pytest
from starlette.responses import Response

from cds.cli.export_bar import percent
from tests.bulk.roads import contents, record
from tests.bulk.server import BulkDouble, outcome, patients
from tests.cli.command import COMMAND, ROOT, bedside, environment

ISSUER = "https://ehr.example.org"


def command(double: BulkDouble, out: Path, *more: str) -> list[str]:
    return ["export", double.base, "--out", str(out), "--no-auth", "--retry-after-cap", "0.05", *more]


@pytest.mark.proves("B1", "the types asked for, and with them the scopes, are those that the chosen models read")
def test_the_types_are_the_models_own(signed: BulkDouble, out: Path) -> None:
    assert signed.keys is not None
    signed.add("output", "Patient.1", patients(2))
    given = ["--client-id", "bedside", "--keys", str(signed.keys.path), "--json"]
    done = bedside("export", signed.base, "--out", str(out), *given)
    assert done.returncode == 0, done.stderr
    types = ["Patient", "Condition", "Procedure", "Encounter", "Observation"]
    [start] = signed.asked("/fhir/Patient/$export")
    assert start.query == [("_type", one) for one in types]
    assert signed.assertions[0]["scope"].split() == [f"system/{one}.rs" for one in sorted(types)]
    assert done.stderr == ""
    assert json.loads(done.stdout) == {
        "state": "complete", "partial": False, "out": str(out), "transactionTime": "2026-11-22T10:00:00Z", "files": 1,
        "resources": 2, "bytes": len(signed.files["Patient.1"]), "deleted": 0, "errors": {},
    }  # fmt: skip


def test_the_codes_may_be_asked_for_too(unsigned: BulkDouble, out: Path) -> None:
    done = bedside(*command(unsigned, out, "--filter-codes", "--post", "--group", "g1", "--since", "2026-11-01"))
    assert done.returncode == 0, done.stderr
    [start] = unsigned.asked("/fhir/Group/g1/$export", "POST")
    given = json.loads(start.body)["parameter"]
    [wanted] = [one["valueString"] for one in given if one["name"] == "_typeFilter"]
    assert wanted.startswith("Observation?code=http://loinc.org%7C")
    assert "," not in wanted
    assert {"name": "_since", "valueInstant": "2026-11-01T00:00:00+00:00"} in given


@pytest.mark.proves("B15", "the transactionTime of an earlier export is the next one's _since")
def test_what_changed_since_an_earlier_export(unsigned: BulkDouble, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    assert bedside(*command(unsigned, first)).returncode == 0
    assert bedside(*command(unsigned, second, "--since", str(first))).returncode == 0
    assert ("_since", "2026-11-22T10:00:00+00:00") in unsigned.asked("/fhir/Patient/$export")[1].query


@pytest.mark.proves("B13", "errors that the server reports itself: everything is kept, and the exit code is 3")
def test_a_partial_success_has_its_own_exit_code(unsigned: BulkDouble, out: Path) -> None:
    unsigned.add("output", "Patient.1", patients(2))
    issue = {"severity": "error", "code": "processing", "diagnostics": "Jane Roe"}
    unsigned.add("error", "OperationOutcome.1", [{"resourceType": "OperationOutcome", "issue": [issue]}])
    done = bedside(*command(unsigned, out))
    assert done.returncode == 3
    assert "The server reports: 1 error (error/)." in done.stdout
    assert "Roe" not in done.stdout + done.stderr
    again = bedside(*command(unsigned, out, "--json"))
    assert (again.returncode, json.loads(again.stdout)["errors"]) == (3, {"error": 1})
    assert len(unsigned.asked("/fhir/Patient/$export")) == 1


def test_an_export_that_runs_already_is_offered(unsigned: BulkDouble, out: Path) -> None:
    unsigned.on["/fhir/Patient/$export"] = lambda *_: outcome(429, "throttled", text="one at a time, please")
    done = bedside(*command(unsigned, out))
    assert (done.returncode, done.stdout) == (1, "")
    assert "one at a time" not in done.stderr
    assert "--adopt STATUS_URL" in done.stderr
    assert len(unsigned.asked("/fhir/Patient/$export")) == 1
    ended = bedside(*command(unsigned, out, "--adopt", unsigned.status_url, "--cancel"))
    assert ended.returncode == 0, ended.stderr
    assert len(unsigned.asked("/fhir/status/1", "DELETE")) == 1
    unsigned.add("output", "Patient.1", patients(1))
    assert bedside(*command(unsigned, out, "--adopt", unsigned.status_url)).returncode == 0
    assert list(contents(out)) == ["Patient.0001.ndjson"]


@pytest.mark.proves("B7", "a server's own words are shown to a person at a terminal, and go into no pipe or log")
@pytest.mark.parametrize("terminal", [True, False])
def test_a_servers_words_are_for_a_person(unsigned: BulkDouble, out: Path, terminal: bool) -> None:
    unsigned.statuses = [{"X-Progress": "42%, at Jane Roe"}]
    refused = outcome(400, "processing", text="cannot export John Doe")
    unsigned.on["/fhir/status/1"] = lambda _, n: refused if n else None
    if terminal:
        master, slave = pty.openpty()
        status = subprocess.run(
            [*COMMAND, *command(unsigned, out)], cwd=ROOT, env=environment(TERM="xterm"), stdout=subprocess.PIPE,
            stderr=slave, timeout=60, check=False,
        ).returncode  # fmt: skip
        os.close(slave)
        said = os.read(master, 65536).decode()
        os.close(master)
    else:
        done = bedside(*command(unsigned, out), FORCE_COLOR="1")
        status, said = done.returncode, done.stdout + done.stderr
    assert status == 1
    assert "error/processing" in said.replace("\r\n", "")
    assert [words in said for words in ("Jane Roe", "John Doe")] == [terminal, terminal]


@pytest.mark.proves("B15", "--since takes no export that lacks something: not complete, or with errors of its server")
def test_since_an_export_that_lacks_something(unsigned: BulkDouble, tmp_path: Path) -> None:
    first = tmp_path / "first"
    unsigned.add("output", "Patient.1", patients(1))
    unsigned.on["/files/Patient.1"] = lambda *_: outcome(400, "processing")
    assert bedside(*command(unsigned, first)).returncode == 1
    done = bedside(*command(unsigned, tmp_path / "second", "--since", str(first)))
    assert (done.returncode, "that export is not complete (running)" in done.stderr) == (2, True)
    unsigned.on.clear()
    issue = {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "exception"}]}
    unsigned.add("error", "OperationOutcome.1", [issue])
    assert bedside(*command(unsigned, first)).returncode == 3
    done = bedside(*command(unsigned, tmp_path / "second", "--since", str(first)))
    assert (done.returncode, "reported errors in that export" in done.stderr) == (2, True)
    assert len(unsigned.asked("/fhir/Patient/$export")) == 1


def test_since_an_export_of_a_day_takes_the_whole_day(unsigned: BulkDouble, tmp_path: Path) -> None:
    unsigned.manifest["transactionTime"] = "2026-11-22"
    assert bedside(*command(unsigned, tmp_path / "first")).returncode == 0
    assert bedside(*command(unsigned, tmp_path / "second", "--since", str(tmp_path / "first"))).returncode == 0
    assert ("_since", "2026-11-22T00:00:00+00:00") in unsigned.asked("/fhir/Patient/$export")[1].query


@pytest.mark.parametrize("days", ["nan", "inf", "1e9"])
def test_a_deadline_that_no_calendar_holds_is_told(unsigned: BulkDouble, out: Path, days: str) -> None:
    done = bedside(*command(unsigned, out, "--deadline", days))
    assert (done.returncode, "--deadline" in done.stderr, "Traceback" in done.stderr) == (2, True, False)
    assert unsigned.seen == []


def test_a_file_in_place_of_the_folder_is_told(unsigned: BulkDouble, out: Path) -> None:
    out.write_text("x")
    for more in ([], ["--cancel"]):
        done = bedside(*command(unsigned, out, *more))
        assert (done.returncode, done.stderr.strip()) == (1, f"{out}: File exists")


@pytest.mark.proves("B25", "Ctrl-C keeps everything, says how to go on and how to cancel; both then work")
@pytest.mark.parametrize("then", ["go on", "cancel"])
def test_ctrl_c_leaves_everything_to_go_on_with(unsigned: BulkDouble, out: Path, then: str) -> None:
    unsigned.add("output", "Patient.1", patients(2))
    unsigned.on["/fhir/status/1"] = lambda request, _: (
        Response(status_code=202, headers={"X-Progress": "5%"}) if request.method == "GET" else None
    )
    process = subprocess.Popen(
        [*COMMAND, *command(unsigned, out)], cwd=ROOT, env=environment(), stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 30
    while not unsigned.asked("/fhir/status/1") and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    said, errors = process.communicate(timeout=30)
    assert (process.returncode, said) == (130, "")
    assert "The same command goes on" in errors
    assert "--cancel" in errors
    assert (record(out)["state"], record(out)["status_url"]) == ("running", unsigned.status_url)
    assert unsigned.asked("/fhir/status/1", "DELETE") == []
    unsigned.on.clear()
    if then == "cancel":
        assert bedside(*command(unsigned, out, "--cancel")).returncode == 0
        assert record(out)["state"] == "cancelled"
    else:
        assert bedside(*command(unsigned, out)).returncode == 0
        assert record(out)["state"] == "complete"
    assert len(unsigned.asked("/fhir/status/1", "DELETE")) == 1


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ([], "no client with this fhir_base and a backend is registered"),
        (["--no-auth", "--group", "g1", "--system"], "one of --group"),
        (["--no-auth", "--models", "kfre-5"], "there is no such model; there are "),
        (["--no-auth", "--file-host", "https://x.example/path"], "--file-host: an origin is"),
        (["--no-auth", "--type", "patient"], "written as Patient, Observation"),
        (["--no-auth", "--since", "yesterday"], "--since yesterday"),
        (["--client-id", "bedside", "--keys", "nowhere.json"], "there are no signing keys"),
        (["--no-auth", "--patients", "nowhere.txt"], "--patients nowhere.txt"),
    ],
)  # fmt: skip
def test_a_wrong_option_is_told_before_anything_is_asked(
    unsigned: BulkDouble, out: Path, options: list[str], why: str
) -> None:
    done = bedside("export", unsigned.base, "--out", str(out), *options)
    assert done.returncode == 2
    assert why in done.stderr
    assert unsigned.seen == []


def test_a_site_says_who_we_are_there(signed: BulkDouble, unsigned: BulkDouble, tmp_path: Path, out: Path) -> None:
    assert signed.keys is not None
    unsigned.add("output", "Patient.1", patients(3))
    signed.manifest["output"] = unsigned.manifest["output"]
    signed.manifest["requiresAccessToken"] = False
    (tmp_path / "site.toml").write_text(
        f'''keys = "{signed.keys.path}"
[[clients]]
tenant = "north-clinic"
issuer = "{ISSUER}"
jwks_url = "{ISSUER}/jwks"
fhir_base = "{signed.base}"
backend = {{client_id = "night", algorithm = "RS384", file_hosts = ["{unsigned.origin}"]}}
''',
        encoding="utf-8",
    )
    done = bedside("export", f"{signed.base}/", "--out", str(out), "--site", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert (signed.assertions[0]["iss"], signed.assertions[0]["header"]["alg"]) == ("night", "RS384")
    assert "3 resources, 1 files" in done.stdout


@pytest.mark.proves("B9", "X-Progress as a percentage, as a part of a whole, and as words without a number")
@pytest.mark.parametrize(
    ("words", "found"),
    [("42% complete", 42.0), ("12.5 %", 12.5), ("3 of 12 types", 25.0), ("7/14", 50.0), ("999%", 100.0),
     ("running", None), ("5 of 0", None), ("", None)],
)  # fmt: skip
def test_progress_is_read_from_the_servers_words(words: str, found: float | None) -> None:
    assert percent(words) == found
