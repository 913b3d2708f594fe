"""Only a finished run's folder, as the run left it, is written anywhere."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cds.bulk.content import digest, same
from cds.bulk.deciding import decide
from cds.bulk.run_folder import Entry, open_run
from cds.bulk.write_progress import Known, Noted, WriteProgress
from cds.errors import RunUnusable
from cds.risk.assessment import IDENTIFIER_SYSTEM
from tests.bulk.runs import assessments, many, retracted, run_folder
from tests.cli.command import bedside

Json = dict[str, Any]


def edited(line: int, change: Callable[[Json], object]) -> list[Json]:
    made = assessments()
    change(made[line])
    return made


@pytest.mark.proves("B28", "an unfinished, changed or foreign folder is refused, exit 2, with what to do")
@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda folder: (folder / "run.json").unlink(), "has not finished"),
        (lambda folder: (folder / "run.json").write_text("{}"), "not what a run leaves"),
        (lambda folder: (folder / "run.json").write_text('{"at"'), "not what a run leaves"),
        (lambda folder: (folder / "RiskAssessment.ndjson").write_text(""), "SHA-256 differs"),
        (lambda folder: (folder / "RiskAssessment.ndjson").unlink(), "No such file"),
        (lambda folder: (folder / "retracted.ndjson").write_text(""), "not of this run"),
    ],
)
def test_a_folder_that_is_not_as_a_run_left_it_is_refused(
    tmp_path: Path, spoil: Callable[[Path], object], said: str
) -> None:
    folder = run_folder(tmp_path / "run", assessments())
    assert open_run(folder).lines == len(assessments())
    spoil(folder)
    with pytest.raises(RunUnusable, match=said):
        open_run(folder)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda one: one.update(resourceType="Observation"), "no RiskAssessment"),
        (lambda one: one.update(id="a b"), "no id that FHIR allows"),
        (lambda one: one.pop("id"), "no id that FHIR allows"),
        (lambda one: one.update(identifier=[{"system": "urn:other", "value": "1"}]), "no identifier of urn:bedside"),
        (lambda one: one["identifier"][0].update(value="a,b"), "no identifier of urn:bedside"),
        (lambda one: one.update(status="entered-in-error"), "the status is not final"),
        (lambda one: one.update(subject={"reference": "https://ehr.example.org/Patient/1"}), "not Patient/ID"),
        (lambda one: one.update(id=assessments()[0]["id"]), "second result of the same id"),
    ],
)
def test_a_line_that_no_run_leaves_is_refused_by_its_number(
    tmp_path: Path, change: Callable[[Json], object], said: str
) -> None:
    folder = run_folder(tmp_path / "run", edited(2, change))
    with pytest.raises(RunUnusable, match=rf"RiskAssessment.ndjson:3: .*{said}"):
        open_run(folder)


def test_what_is_retracted_is_no_result_of_the_same_run(tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "run", assessments(), [retracted(assessments()[1])])
    with pytest.raises(RunUnusable, match=r"retracted.ndjson:1: a second result"):
        open_run(folder)


def test_the_sample_of_patients_holds_the_first_and_the_last(tmp_path: Path) -> None:
    results = many(500)
    for number, one in enumerate(results):
        one["subject"]["reference"] = f"Patient/{number}"
    sample = open_run(run_folder(tmp_path / "run", results)).patients()
    assert (len(sample), sample[0], sample[-1]) == (22, "0", "499")
    assert open_run(run_folder(tmp_path / "empty", [])).patients() == []


def test_the_run_is_recorded_when_it_ended_or_else_as_of_its_instant(tmp_path: Path) -> None:
    assert open_run(run_folder(tmp_path / "a", [])).recorded == "2026-11-22T15:00:00Z"
    assert open_run(run_folder(tmp_path / "b", [], finished=None)).recorded == "2026-11-22T14:02:00Z"


def test_the_command_says_so_and_ends_with_2(tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "run", assessments())
    (folder / "run.json").unlink()
    done = bedside("write", str(folder), "--to", "https://ehr.example.org/fhir", "--no-auth")
    assert (done.returncode, "let it finish" in done.stderr) == (2, True)
    plain = bedside("write", str(folder), "--to", "http://ehr.example.org/fhir", "--no-auth")
    assert (plain.returncode, "https" in plain.stderr) == (2, True)


ENDED = "2026-11-22T15:00:00Z"
OLDER = assessments()[0]
MINE: Json = {"id": "a", "status": "final", "basis": [{"reference": "Observation/1"}], "at": "2026-11-22T14:02:00Z"}


@pytest.mark.parametrize(
    ("theirs", "alike"),
    [
        ({}, True),
        ({"meta": {"versionId": "3"}, "text": {"status": "generated"}}, True),
        ({"mitigation": "Referred."}, True),
        ({"basis": [{"reference": "Observation/1", "display": "Creatinine"}]}, True),
        ({"basis": [{"reference": "https://ehr.example.org/fhir/Observation/1"}]}, True),
        ({"at": "2026-11-22T15:02:00+01:00"}, True),
        ({"at": "2026-11-22T15:02:00Z"}, False),
        ({"status": "amended"}, False),
        ({"status": None}, False),
        ({"basis": [{"reference": "Observation/1"}, {"reference": "Observation/2"}]}, False),
        ({"basis": [{"reference": "https://other.example.org/fhir/Observation/1"}]}, False),
    ],
)
def test_what_a_server_adds_is_no_difference_and_what_somebody_changes_is(theirs: Json, alike: bool) -> None:
    assert same(MINE, {**MINE, **theirs}, "https://ehr.example.org/fhir") is alike
    assert digest({**MINE, "meta": {}}) == digest(MINE)


@pytest.mark.proves("D34", "who wrote what is there: by progress, by content, by identifier; else it is somebody's")
@pytest.mark.parametrize(
    ("there", "known", "step"),
    [
        ({}, None, "unchanged"),
        (None, None, "create"),
        (None, Known(sent="d"), "create"),
        (None, Known(digest="d"), "changed there"),
        ({"status": "cancelled"}, None, "changed there"),
        ({"status": "entered-in-error"}, None, "changed there"),
        ({"note": []}, None, "changed there"),
        ({"note": [], "identifier": []}, None, "changed there"),
        ({"note": [], "identifier": [{"system": IDENTIFIER_SYSTEM, "value": "older"}]}, None, "update"),
        ({"note": [], "meta": {"versionId": "4"}}, Known(digest="older", version="4"), "update"),
        ({"note": [], "meta": {"versionId": "5"}}, Known(digest="older", version="4"), "changed there"),
        ({"note": []}, Known(sent=digest({**OLDER, "note": []})), "update"),
        ({"note": []}, Known(digest=digest({**OLDER, "note": []})), "update"),
        ({"note": []}, Known(digest="older"), "changed there"),
    ],
)
def test_what_is_ours_is_updated_and_what_is_not_stands(there: Json | None, known: Known | None, step: str) -> None:
    entry = Entry("RiskAssessment.ndjson", 1, {**OLDER, "note": [{"text": "Late."}]} if there else OLDER)
    kept = None if there is None else {**OLDER, **there}
    assert decide(entry, kept, known, "https://a", ENDED) == step
    if step == "changed there":
        assert decide(entry, kept, known, "https://a", ENDED, overwrite=True) == (
            "create" if kept is None else "update"
        )


OWN_AND_THEIRS = [*OLDER["identifier"], {"system": "urn:theirs", "value": "17"}]


@pytest.mark.proves("D34", "sent and not heard of: with an identifier more it is ours, in other words it is somebody's")
@pytest.mark.parametrize(
    ("there", "known", "step"),
    [
        ({"identifier": OWN_AND_THEIRS}, Known(sent=digest(OLDER)), "unchanged"),
        ({"identifier": OWN_AND_THEIRS}, Known(sent=digest(OLDER), digest="older", version="1"), "unchanged"),
        ({"identifier": OWN_AND_THEIRS, "mitigation": "Referred."}, Known(sent=digest(OLDER)), "unchanged"),
        ({"identifier": OWN_AND_THEIRS, "status": "amended"}, Known(sent=digest(OLDER)), "changed there"),
        ({"identifier": OWN_AND_THEIRS, "prediction": []}, Known(sent=digest(OLDER)), "changed there"),
        ({"identifier": OWN_AND_THEIRS[1:]}, Known(sent=digest(OLDER)), "changed there"),
        ({"identifier": OWN_AND_THEIRS}, Known(sent="other"), "changed there"),
        ({"identifier": OWN_AND_THEIRS}, Known(sent=digest(OLDER), digest=digest(OLDER), version="1"), "changed there"),
        ({"identifier": OWN_AND_THEIRS}, None, "changed there"),
    ],
)
def test_what_was_sent_and_not_heard_of_is_ours_in_our_words(there: Json, known: Known | None, step: str) -> None:
    kept = {**OLDER, **there, "meta": {"versionId": "2"}}
    assert decide(Entry("RiskAssessment.ndjson", 1, OLDER), kept, known, "https://a", ENDED) == step


OTHER = {"identifier": [{"system": IDENTIFIER_SYSTEM, "value": "other-numbers"}], "note": []}


@pytest.mark.proves("D34", "an older run neither overwrites nor retracts what a later one wrote, or a person edited")
@pytest.mark.parametrize(
    ("there", "ours"),
    [
        ({}, True),
        ({"meta": {"lastUpdated": "2026-11-22T15:59:59+01:00"}}, True),
        ({"meta": {"lastUpdated": "2026-11-25T15:00:00Z"}}, False),
        ({"meta": {"lastUpdated": "yesterday"}}, False),
        ({"occurrenceDateTime": "2026-11-22T14:01:00Z"}, True),
        ({"occurrenceDateTime": "2026-11-22T14:03:00Z"}, False),
        ({"occurrenceDateTime": None}, False),
        ({"subject": {"reference": "Patient/somebody-else"}}, False),
        ({"status": "amended"}, False),
    ],
)
@pytest.mark.parametrize("retracts", [False, True], ids=["result", "retraction"])
def test_a_result_with_other_numbers_is_ours_when_it_is_older(there: Json, ours: bool, retracts: bool) -> None:
    entry = Entry("RiskAssessment.ndjson", 1, retracted(OLDER) if retracts else OLDER)
    step = decide(entry, {**OLDER, **OTHER, **there}, None, "https://a", ENDED)
    assert step == (("retract" if retracts else "update") if ours else "changed there")


def test_progress_is_read_up_to_the_line_in_which_a_kill_fell(tmp_path: Path) -> None:
    with WriteProgress(tmp_path, "https://a") as progress:
        progress.note(Noted("sent", "1", digest="d", activity="CREATE"))
        progress.note(Noted("there", "1", digest="d", version="4", server_id="1"))
        progress.keep()
        path = progress.path
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"did":"told","id":"1","dig')
    with WriteProgress(tmp_path, "https://a") as again:
        known = again.of("1")
        assert known is not None
        assert (known.version, known.owes("d"), known.owes("e")) == ("4", True, False)
        again.note(Noted("told", "1", digest="d"))
        again.keep()
    assert path.read_bytes().startswith(whole)
    assert [json.loads(line)["did"] for line in path.read_text().splitlines()] == ["sent", "there", "told"]
    other = WriteProgress(tmp_path, "https://b")
    assert (other.of("1"), other.path == path) == (None, False)


@pytest.mark.proves("B28", "the progress file's name is on the disk before anything is sent, whoever made it")
def test_a_power_cut_does_not_lose_the_name_of_the_progress_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    fsync = os.fsync

    def noting(file: int) -> None:
        synced.append(os.fstat(file).st_ino)
        fsync(file)

    monkeypatch.setattr(os, "fsync", noting)
    for _ in ("new", "left by a kill"):
        synced.clear()
        with WriteProgress(tmp_path, "https://a") as progress:
            assert synced == [progress.path.stat().st_ino, tmp_path.stat().st_ino]


def test_two_at_once_on_one_folder_are_refused(tmp_path: Path) -> None:
    with (
        WriteProgress(tmp_path, "https://a"),
        pytest.raises(RunUnusable, match="another `bedside write`"),
        WriteProgress(tmp_path, "https://a"),
    ):
        pass
