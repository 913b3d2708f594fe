"""What a night did not write is written before the next night's, and what a later one retracts never comes back."""

import asyncio
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import JSONResponse

from cds.bulk.target import NoAccess
from cds.bulk.write_back import Wanted, write_back
from cds.bulk.write_progress import WriteProgress
from cds.errors import RunUnusable, UnsafeToWrite
from tests.bulk.runs import many, retracted, run_folder
from tests.bulk.shelf import Shelf
from tests.bulk.test_write_faults import QUICK, shelf, write
from tests.cli.command import bedside
from tests.ehr.running import running

Json = dict[str, Any]
RESULTS = many(12)


def night(folder: Path, results: Sequence[Json], prior: Path | None, *, takes_back: Sequence[Json] = ()) -> Path:
    """A run that brings these results and retracts those of the run in `prior`, of which it is the next."""
    before = None if prior is None else str(prior.resolve())
    return run_folder(folder, results, [retracted(one) for one in takes_back], prior=before)


def cut_off(server: Shelf, folder: Path) -> set[str]:
    """Write it until the server is lost; the ids of what is there then."""
    server.fault = lambda number, _method, _path: JSONResponse({}, 503) if number > 9 else None
    assert write(server, folder, batch=2).stopped
    server.fault = Shelf().fault
    there = set(server.kept["RiskAssessment"])
    assert 0 < len(there) < len(RESULTS)
    return there


def refused(server: Shelf, folder: Path, *, says: str, **wanted: Any) -> None:
    with running(server.app, server.port) as origin, pytest.raises((UnsafeToWrite, RunUnusable), match=says):
        asyncio.run(write_back(folder, origin, NoAccess(), Wanted(patience=QUICK, **wanted)))


@pytest.mark.proves("B28", "a run whose prior was cut off, or has failed lines, or was never written there, is refused")
@pytest.mark.parametrize("dry_run", [False, True])
@pytest.mark.parametrize("fault", ["cut off", "a failed line", "never"])
def test_the_run_before_is_written_first(tmp_path: Path, fault: str, dry_run: bool) -> None:
    server = shelf()
    monday = night(tmp_path / "monday", RESULTS[:10], None)
    tuesday = night(tmp_path / "tuesday", RESULTS[10:], monday)
    if fault == "cut off":
        cut_off(server, monday)
    if fault == "a failed line":
        server.entry_fault = lambda one: "422" if one["id"] == RESULTS[3]["id"] else None
        assert write(server, monday).failed == 1
        server.entry_fault = Shelf().entry_fault
    before, how = dict(server.kept["RiskAssessment"]), "not at all" if fault == "never" else "not to its end"
    refused(server, tuesday, dry_run=dry_run, says=rf"monday, was written to this server {how}.*--despite-prior")
    assert server.kept["RiskAssessment"] == before
    assert write(server, monday).clean
    assert write(server, tuesday, dry_run=dry_run).clean
    assert len(server.kept["RiskAssessment"]) == (10 if dry_run else 12)


def test_each_server_has_its_own_order(tmp_path: Path) -> None:
    server, other = shelf(), shelf()
    monday = night(tmp_path / "monday", RESULTS[:10], None)
    tuesday = night(tmp_path / "tuesday", RESULTS[10:], monday)
    assert write(server, monday).clean
    refused(other, tuesday, says="not at all")
    assert write(server, tuesday).clean


@pytest.mark.proves("B28", "what somebody changed there is theirs: it holds up no later night")
def test_what_somebody_changed_holds_up_nothing(tmp_path: Path) -> None:
    server = shelf()
    monday = night(tmp_path / "monday", RESULTS[:10], None)
    theirs = {**RESULTS[0], "status": "cancelled", "meta": {"versionId": "7"}}
    server.kept["RiskAssessment"][RESULTS[0]["id"]] = theirs
    assert write(server, monday).became["changed there"] == 1
    assert write(server, night(tmp_path / "tuesday", RESULTS[10:], monday)).clean


def test_a_run_whose_writing_was_taken_up_again_and_failed_is_not_at_its_end(tmp_path: Path) -> None:
    server = shelf()
    monday = night(tmp_path / "monday", RESULTS[:10], None)
    assert write(server, monday).clean
    server.kept["RiskAssessment"].clear()  # it was set back to an older backup
    server.entry_fault = lambda one: "422" if one["id"] == RESULTS[3]["id"] else None
    assert write(server, monday, overwrite=True).failed == 1
    refused(server, night(tmp_path / "tuesday", RESULTS[10:], monday), says="not to its end")


@pytest.mark.proves(
    "B28", "a prior that is gone, or whose folder another run has taken, is refused; by a link it is there"
)
@pytest.mark.parametrize("taken", [False, True])
def test_a_run_before_that_is_gone_is_asked_for(tmp_path: Path, taken: bool) -> None:
    server = shelf()
    monday = night(tmp_path / "monday", RESULTS[:10], None)
    tuesday = night(tmp_path / "tuesday", RESULTS[10:], monday)
    assert write(server, monday).clean
    monday.rename(tmp_path / "archived")
    if taken:
        later = run_folder(monday, [], prior=str(tuesday), finished="2026-11-24T15:00:00Z")
        assert (later / "run.json").exists()
    refused(server, tuesday, says=r"monday, is not there any more.*a link will do")
    if taken:
        shutil.rmtree(monday)
    monday.symlink_to(tmp_path / "archived")
    assert write(server, tuesday).clean
    monday.unlink()
    assert write(server, tuesday).clean, "begun there once, it asks no more"


def test_another_run_in_the_folder_is_not_taken_for_the_one_that_was_written(tmp_path: Path) -> None:
    server = shelf()
    monday = night(tmp_path / "monday", RESULTS[:5], None)
    assert write(server, monday).clean
    night(monday, RESULTS[:10], None)  # scored anew, beside the old progress file
    refused(server, night(tmp_path / "tuesday", RESULTS[10:], monday), says="not at all")


@pytest.mark.proves("B28", "resumed after a later run of its chain, a run creates nothing that any later one retracts")
@pytest.mark.parametrize("road", ["put", "conditional"])
@pytest.mark.parametrize("tuesday_written", [True, False])
@pytest.mark.parametrize("overwrite", [True, False])
def test_what_a_later_run_retracts_does_not_come_back(
    tmp_path: Path, road: str, tuesday_written: bool, overwrite: bool
) -> None:
    server = shelf(road=road)
    monday = night(tmp_path / "monday", RESULTS[:10], None)
    cut_off(server, monday)
    gone = [RESULTS[8], RESULTS[9], RESULTS[0]]  # two that were not written, and one that was
    tuesday = night(tmp_path / "tuesday", RESULTS[10:11], monday, takes_back=gone[:1])
    wednesday = night(tmp_path / "wednesday", RESULTS[11:], tuesday, takes_back=gone[1:])
    if tuesday_written:
        assert write(server, tuesday, despite_prior=True).became["nothing there"] == 1
    assert write(server, wednesday, despite_prior=True).clean
    assert write(server, monday, dry_run=True).became["retracted later"] == 3
    late = write(server, monday, overwrite=overwrite)
    assert (late.clean, late.became["retracted later"], late.failed) == (True, 3, 0)
    assert write(server, tuesday).clean
    standing = {one["identifier"][0]["value"] for one in server.shown().values() if one["status"] == "final"}
    assert standing == {one["identifier"][0]["value"] for one in RESULTS if one not in gone}


def test_a_later_run_that_cannot_be_read_is_asked_for(tmp_path: Path) -> None:
    server = shelf()
    monday = night(tmp_path / "monday", RESULTS[:10], None)
    there = cut_off(server, monday)
    tuesday = night(tmp_path / "tuesday", RESULTS[10:], monday, takes_back=RESULTS[9:10])
    assert write(server, tuesday, despite_prior=True).clean
    tuesday.rename(tmp_path / "archived")
    for spoilt in (False, True):
        refused(server, monday, says=r"tuesday, was written to this server.*a link will do")
        if not spoilt:
            run_folder(tuesday, [])  # another run has its place
    assert len(server.kept["RiskAssessment"]) == len(there) + 2


def test_the_run_before_is_not_overtaken_while_it_is_written(tmp_path: Path) -> None:
    server = shelf()
    monday = night(tmp_path / "monday", RESULTS[:10], None)
    tuesday = night(tmp_path / "tuesday", RESULTS[10:], monday)
    with WriteProgress(monday, f"http://127.0.0.1:{server.port}"):
        refused(server, tuesday, despite_prior=True, says="another `bedside write`")
    assert not server.kept["RiskAssessment"]


def test_the_command_refuses_with_4_and_goes_on_when_it_is_told_to(tmp_path: Path) -> None:
    server = shelf()
    monday = night(tmp_path / "monday", RESULTS[:10], None)
    tuesday = night(tmp_path / "tuesday", RESULTS[10:], monday)
    with running(server.app, server.port) as origin:
        command = ("write", str(tuesday), "--to", origin, "--no-auth", "--json")
        refused = bedside(*command)
        assert (refused.returncode, "Write that one first" in refused.stderr) == (4, True)
        assert json.loads(bedside(*command, "--despite-prior").stdout)["created"] == 2
        assert json.loads(bedside(*command).stdout)["unchanged"] == 2, "it was said once, and is not asked again"
        late = bedside("write", str(monday), "--to", origin, "--no-auth")
    assert (late.returncode, "created 10" in late.stdout) == (0, True)


def as_an_earlier_version_left_it(folder: Path) -> None:
    """Its progress file told of results and of nothing else."""
    [path] = folder.glob("write-*.jsonl")
    lines = [line for line in path.read_text().splitlines() if json.loads(line)["did"] in ("sent", "there", "told")]
    path.write_text("".join(f"{line}\n" for line in lines))


def test_what_an_earlier_version_wrote_is_written_once_more_and_not_all_before_it(tmp_path: Path) -> None:
    server = shelf()
    sunday = night(tmp_path / "sunday", RESULTS[:4], None)
    monday = night(tmp_path / "monday", RESULTS[4:10], sunday)
    tuesday = night(tmp_path / "tuesday", RESULTS[10:], monday)
    for one in (sunday, monday):
        assert write(server, one).clean
    for one in (sunday, monday):
        as_an_earlier_version_left_it(one)
    refused(server, tuesday, says="monday, was written to this server not to its end as far as is known")
    assert write(server, monday).unchanged == 6
    assert write(server, tuesday).clean


def test_a_run_that_lies_where_the_one_before_lay_is_not_the_one_before(tmp_path: Path) -> None:
    server = shelf()
    last = night(tmp_path / "last", RESULTS[:10], None)
    tonight = night(tmp_path / "tonight", RESULTS[10:], last)
    shutil.rmtree(last)
    tonight.rename(last)
    refused(server, last, says="last, is not there any more")
    assert write(server, last, despite_prior=True).clean


def test_a_run_before_that_cannot_be_told_is_passed_over_when_asked(tmp_path: Path) -> None:
    server = shelf()
    monday = night(tmp_path / "monday", RESULTS[:10], None)
    tuesday = night(tmp_path / "tuesday", RESULTS[10:], monday)
    path = WriteProgress(monday, f"http://127.0.0.1:{server.port}").path
    path.symlink_to(tmp_path / "nowhere" / "progress")  # a folder that takes no new file, also of the root's
    refused(server, tuesday, says="not at all")
    assert write(server, tuesday, despite_prior=True).clean
    assert not path.exists()
    assert write(server, tuesday).clean, "begun there once, it asks no more"
    path.unlink()
    path.mkdir()  # which nobody can read
    wednesday = night(tmp_path / "wednesday", [], tuesday)
    refused(server, wednesday, says="folder must be writable")
    assert write(server, wednesday, despite_prior=True).clean
