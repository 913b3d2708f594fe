"""What goes wrong around a run over an export is told in a sentence, and what was done is kept."""

import fcntl
import gzip
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cds.batch.finding import find_export
from cds.batch.local import score_export
from cds.batch.plan import save
from cds.errors import ExportUnreadable, RequestError, RunInterrupted
from cds.site import recipe
from tests.batch import runs
from tests.batch.killed import ended, forked, left
from tests.cli.command import COMMAND, ROOT, environment

PEOPLE = 40
DEADLINE = 30.0
"""Seconds within which a process must be seen to do what it is waited for."""


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """Ten files, each with four patients."""
    for first in range(0, PEOPLE, 4):
        people = (line for n in range(first, first + 4) for line in runs.whole(f"p{n}", 1.5 + n / 50))
        runs.write(tmp_path / "export" / f"All.{first:03d}.ndjson", people)
    return tmp_path / "export"


def resumed(export: Path, out: Path) -> runs.Json:
    return score_export(runs.plan(export), runs.KFRE, out, resume=True)


def in_child(work: Callable[[], object], told: Path) -> str:
    """What a child process has to say of the error that ended its work; "" when there was none."""

    def tell() -> None:
        try:
            work()
        except RunInterrupted as error:
            told.write_text(error.message)

    told.write_text("")
    assert ended(forked(tell)) == 0
    return told.read_text()


def no_file_longer_than(size: int) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # the write then fails like one on a full disk
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


@pytest.mark.proves("R62", "a disk that is full at every stage: the folder is named, and a resumed run ends the same")
def test_r62_a_full_disk_is_told_and_what_was_done_is_kept(export: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"  # of patients without results more is told than kept, so that the disk is full later
    runs.write(bare / "Patient.ndjson", map(runs.patient, map(str, range(PEOPLE))))
    stages = {stage for place in (export, bare) for stage in _full_at_every_size(place, tmp_path / f"{place.name}-out")}
    assert stages >= {"/.work", "/.work/ranges", "/.work/charts", "/.work/scored", ""}


def _full_at_every_size(export: Path, folder: Path) -> Iterator[str]:
    """Where it was, below a run's folder, that the disk was full."""
    runs.run(export, out=folder / "undisturbed")
    expected = left(folder / "undisturbed")
    size = max(path.stat().st_size for path in (folder / "undisturbed").rglob("*")) * 2 // 3
    while size > 256:
        out = folder / str(size)
        said = _score_on_full_disk(export, out, size)
        full, _, advice = said.partition(" cannot be written")
        assert full.startswith(str(out))
        assert advice == " (File too large): make room or mend it, then go on with --resume"
        assert not [path for path in out.rglob(".*.*") if path.is_file()], "no draft stays to take up the room"
        resumed(export, out)
        assert left(out) == expected
        yield full.removeprefix(str(out))
        size = size * 2 // 3


def _score_on_full_disk(export: Path, out: Path, size: int) -> str:
    plan = runs.plan(export)

    def score() -> None:
        no_file_longer_than(size)
        score_export(plan, runs.KFRE, out)

    return in_child(score, out.with_suffix(".said"))


def test_a_folder_that_may_not_be_written_is_told(export: Path, tmp_path: Path) -> None:
    place = tmp_path / "there"
    place.write_text("a file where a folder is wanted")
    with pytest.raises(RunInterrupted, match="cannot be written"):
        runs.run(export, out=place / "out")
    readonly = tmp_path / "readonly"
    readonly.mkdir()
    (readonly / ".lock").touch(0o666)
    (readonly / ".lock").chmod(0o666)
    readonly.chmod(0o555)
    tmp_path.chmod(0o755)

    def as_nobody() -> None:
        plan = runs.plan(export)
        if os.geteuid() == 0:
            os.seteuid(65534)
        score_export(plan, runs.KFRE, readonly)

    told = tmp_path / "said"
    told.touch()
    told.chmod(0o666)
    top = Path(tempfile.gettempdir()).resolve()
    for parent in tmp_path.resolve().parents:
        if top in parent.parents:  # pytest keeps its folders to itself, one deeper with several workers
            parent.chmod(0o755)
    said = in_child(as_nobody, told)
    assert (
        said
        == f"{readonly}/.work cannot be written (Permission denied): make room or mend it, then go on with --resume"
    )


class Stopped(Exception):
    """Ends a run from within, as a kill would."""


def begun(export: Path, out: Path) -> None:
    """A run that is stopped when half of it is read."""

    def stop(stage: str, done: int, total: int) -> None:
        if done > total // 2:
            raise Stopped

    with pytest.raises(Stopped):
        score_export(runs.plan(export), runs.KFRE, out, progress=stop)


def test_a_file_that_changed_is_named(export: Path, tmp_path: Path) -> None:
    begun(export, tmp_path / "out")
    runs.write(export / "All.008.ndjson", runs.whole("p8", 5.0))
    with pytest.raises(RequestError, match=r"All\.008\.ndjson has changed\. Begin it anew"):
        resumed(export, tmp_path / "out")


def test_a_file_that_went_or_came_is_told(export: Path, tmp_path: Path) -> None:
    begun(export, tmp_path / "out")
    runs.write(export / "zz.ndjson", runs.whole("z"))
    with pytest.raises(RequestError, match="there are more files"):
        resumed(export, tmp_path / "out")
    (export / "zz.ndjson").unlink()
    (export / "All.004.ndjson").unlink()
    with pytest.raises(RequestError, match=r"All\.004\.ndjson has changed"):
        resumed(export, tmp_path / "out")


def test_a_note_beside_the_files_is_no_change(export: Path, tmp_path: Path) -> None:
    begun(export, tmp_path / "out")
    (export / "README.txt").write_text("exported on a Sunday")
    assert resumed(export, tmp_path / "out")["patients"] == PEOPLE


@pytest.mark.parametrize("models", [["kfre-8"], ["kfre-4", "kfre-8"]])
def test_other_models_do_not_go_on_with_a_run(export: Path, tmp_path: Path, models: list[str]) -> None:
    begun(export, tmp_path / "out")
    other = recipe(models, region="north-america")
    with pytest.raises(RequestError, match="the models, their settings, or the site's codes and units have changed"):
        score_export(runs.plan(export, of=other), other, tmp_path / "out", resume=True)


def test_other_settings_do_not_go_on_with_a_run(export: Path, tmp_path: Path) -> None:
    begun(export, tmp_path / "out")
    other = recipe(["kfre-4"], region="elsewhere")
    with pytest.raises(RequestError, match="the models, their settings"):
        score_export(runs.plan(export, of=other), other, tmp_path / "out", resume=True)


def test_other_codes_of_the_site_do_not_go_on_with_a_run(export: Path, tmp_path: Path) -> None:
    begun(export, tmp_path / "out")
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "site.toml").write_text('region = "north-america"\n[codes]\n"urn:lab|CR" = "creatinine"\n')
    other = recipe(["kfre-4"], site=str(tmp_path / "site"))
    with pytest.raises(RequestError, match="the site's codes and units have changed"):
        score_export(runs.plan(export, of=other), other, tmp_path / "out", resume=True)


def test_one_run_at_a_time_works_in_a_folder(export: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    with (out / ".lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(RequestError, match="another run is working in"):
            runs.run(export, out=out)


def test_a_folder_with_a_run_in_it_is_not_taken_for_another(export: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    runs.run(export, out=out)
    before = left(out)
    with pytest.raises(RequestError, match="holds a finished run: choose another folder"):
        runs.run(export, out=out)
    assert resumed(export, out)["patients"] == PEOPLE, "nothing is left to do"
    runs.write(tmp_path / "other" / "a.ndjson", runs.whole("other"))
    with pytest.raises(RequestError, match="holds the finished run of other files or models"):
        resumed(tmp_path / "other", out)
    (out / "run.json").unlink()
    with pytest.raises(RequestError, match=r"holds RiskAssessment\.ndjson, .*charts of another run"):
        runs.run(tmp_path / "other", out=out)
    assert {**left(out), "run.json": before["run.json"]} == before, "and nothing of it was touched"


def test_an_unfinished_run_waits_for_resume(export: Path, tmp_path: Path) -> None:
    begun(export, tmp_path / "out")
    with pytest.raises(RequestError, match="holds an unfinished run: --resume goes on with it"):
        runs.run(export, out=tmp_path / "out")


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize(
    ("number", "first"),
    [
        (signal.SIGINT, signal.default_int_handler),
        (signal.SIGTERM, signal.default_int_handler),
        (signal.SIGTERM, signal.SIG_IGN),  # as a shell starts a job in the background
    ],
)
@pytest.mark.proves(
    "R62", "SIGINT and SIGTERM end a run with a word and the signal's exit code; resumed it ends the same"
)
def test_r62_a_signal_ends_a_run_with_a_word(
    export: Path, tmp_path: Path, number: signal.Signals, first: Any, workers: str
) -> None:
    out = tmp_path / "out"
    how = ["--region", "north-america", "--at", runs.AT.isoformat(), "--workers", workers]
    command = [*COMMAND, "score", str(export), "--out", str(out), *how]
    before = signal.signal(signal.SIGINT, first)
    began = subprocess.Popen(
        command, env=environment(), cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    signal.signal(signal.SIGINT, before)
    end = time.monotonic() + DEADLINE
    while not (out / ".work" / "ranges" / "000000").exists() and began.poll() is None:
        assert time.monotonic() < end
        time.sleep(0.002)
    os.killpg(began.pid, number)  # as a terminal and a service manager do: to every process of the run
    _, said = began.communicate(timeout=DEADLINE)
    if began.returncode != 0:  # else it had ended before
        assert began.returncode == 128 + number, said
        assert said == f"interrupted: what was done is kept in {out}; the same command with --resume goes on\n"
    resumed(export, out)
    runs.run(export, out=tmp_path / "undisturbed")
    assert left(out, "workers") == left(tmp_path / "undisturbed", "workers")


def test_a_packed_file_that_is_cut_off_is_named(tmp_path: Path) -> None:
    data = gzip.compress(
        runs.write(tmp_path / "all", [one for n in range(50) for one in runs.whole(f"p{n}")]).read_bytes()
    )
    cut = runs.write(tmp_path / "export" / "All.ndjson.gz", [data[: len(data) // 2]])
    with pytest.raises(ExportUnreadable, match=r"^All\.ndjson\.gz: it is cut off: fetch it again$"):
        runs.run(tmp_path / "export", out=tmp_path / "out")
    cut.write_bytes(data)
    with pytest.raises(RequestError, match=r"All\.ndjson\.gz has changed"):
        resumed(tmp_path / "export", tmp_path / "out")
    assert runs.run(tmp_path / "export", out=tmp_path / "anew")["patients"] == 50


def test_what_is_no_gzip_is_named(tmp_path: Path) -> None:
    runs.write(tmp_path / "export" / "All.ndjson.gz", runs.whole("p"))
    with pytest.raises(ExportUnreadable, match=r"^All\.ndjson\.gz: it is no gzip file, or damaged"):
        runs.run(tmp_path / "export", out=tmp_path / "out")


def test_a_gzip_bomb_is_refused(tmp_path: Path) -> None:
    runs.write(tmp_path / "export" / "All.ndjson.gz", [gzip.compress(b" " * (64 << 20))])
    with pytest.raises(ExportUnreadable, match=r"^All\.ndjson\.gz: it unpacks to more than 100 times its size"):
        runs.run(tmp_path / "export", out=tmp_path / "out")


def test_an_export_that_still_runs_is_not_scored(export: Path) -> None:
    (export / "export.json").write_text(json.dumps({"state": "running", "files": []}))
    with pytest.raises(ExportUnreadable, match="this export is not complete"):
        find_export([str(export)])


def test_an_empty_file_beside_others_is_counted_and_no_more(export: Path, tmp_path: Path) -> None:
    (export / "Condition.ndjson").touch()
    (export / "Procedure.ndjson.gz").write_bytes(gzip.compress(b""))
    report = runs.run(export, out=tmp_path / "out")
    assert [file["lines"] for file in report["inputs"] if file["file"].startswith(("Con", "Pro"))] == [0, 0]
    assert report["patients"] == report["outcomes"]["kfre-4"]["scored"] == PEOPLE


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["a.ndjson", "b.ndjson"], "no NDJSON files with anything in them in export"),
        (["a.csv"], "no NDJSON files with anything in them in export"),
        ([], "no NDJSON files with anything in them in export"),
    ],
)
def test_an_export_of_nothing_is_refused(tmp_path: Path, names: list[str], said: str) -> None:
    (tmp_path / "export").mkdir()
    for name in names:
        (tmp_path / "export" / name).touch()
    with pytest.raises(RequestError, match=said):
        find_export([str(tmp_path / "export")])


def test_a_file_of_another_kind_or_of_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(RequestError, match=r"^a\.json: with --out, files are \.ndjson or \.ndjson\.gz"):
        find_export([str(tmp_path / "a.json")])
    with pytest.raises(RequestError, match="there is no such file or folder"):
        find_export([str(tmp_path / "nowhere")])


def test_an_operation_outcome_among_the_data_is_rejected_and_told(tmp_path: Path) -> None:
    outcome = {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "2160-0"}]}
    runs.write(tmp_path / "export" / "Observation.ndjson", [*runs.whole("p"), outcome])
    report = runs.run(tmp_path / "export", out=tmp_path / "out")
    (reject,) = runs.lines(tmp_path / "out" / "rejects.ndjson")
    assert reject == {
        "file": "Observation.ndjson",
        "line": 5,
        "reason": "an OperationOutcome of the server among its data",
    }
    assert report["lines"] == {"in": 5, "kept": 4, "rejected": 1}


MEASURE = """
import resource, sys
from pathlib import Path
from tests.batch import runs
report = runs.run(Path(sys.argv[1]), out=Path(sys.argv[2]))
print(report["patients"], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def peak(tmp_path: Path, people: int) -> int:
    """The most memory that a run over so many people took, in KiB; their lines stand in ten files for each 1,000."""
    export = tmp_path / f"export-{people}"
    for first in range(0, people, 100):
        lines = (line for n in range(first, first + 100) for line in runs.whole(f"p{n}", 1.0 + n % 300 / 100))
        runs.write(export / f"All.{first:06d}.ndjson", lines)
    command = [sys.executable, "-c", MEASURE, str(export), str(tmp_path / f"out-{people}")]
    ran = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=900, check=True)
    count, kilobytes = map(int, ran.stdout.split())
    assert count == people
    return kilobytes


@pytest.mark.proof
@pytest.mark.timeout(1800)
@pytest.mark.proves("R62", "peak memory of ten times the patients within 1.2 times")
def test_r62_memory_stays_flat(tmp_path: Path, campaign: Callable[[int], int]) -> None:
    people = campaign(40_000)
    least = peak(tmp_path, people)
    assert peak(tmp_path, people * 10) <= 1.2 * least


def test_a_run_that_lost_what_stood_between_is_done_again_at_its_very_end(export: Path, tmp_path: Path) -> None:
    """As after a power cut: the charts have moved to their place, and the names of what was scored did not last."""
    out, plan = tmp_path / "out", runs.plan(export)
    runs.run(export, out=out)
    before = left(out)
    (out / "run.json").unlink()
    (out / ".work").mkdir()
    save(plan, out / ".work" / "plan.json")
    (out / f".scores.parquet.{2**22}").write_bytes(b"of a process that was killed")
    resumed(export, out)
    assert left(out) == before


def test_what_a_kill_after_the_last_step_left_is_cleared_away_though_the_run_is_refused(
    export: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    runs.run(export, out=out)
    (out / ".work" / "ranges").mkdir(parents=True)
    with pytest.raises(RequestError, match="holds a finished run"):
        runs.run(export, out=out)
    assert not (out / ".work").exists()
