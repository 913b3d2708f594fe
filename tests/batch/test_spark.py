"""Spark leads to the same files as one machine, to the byte, whatever an export holds, and leaves its session alone."""

import gzip
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from operator import itemgetter
from pathlib import Path
from typing import Any

import pytest
from py4j.protocol import Py4JError

from cds.batch.finding import find_export
from cds.batch.kept import shard_of
from cds.batch.local import begin, score_export
from cds.batch.plan import FEWEST_SHARDS, planned
from cds.batch.sources import RANGE_BYTES
from cds.batch.spark import in_our_words, score, score_on_spark
from cds.batch.spark_session import running
from cds.batch.stages import Work
from cds.errors import ExportUnreadable, RequestError, RunInterrupted, SiteError
from cds.site import recipe

ROOT = Path(__file__).parents[2]
EXPORT = ROOT / "fhir_fixtures" / "export"
AT = datetime(2026, 11, 22, 12, tzinfo=UTC)
KFRE = recipe(["kfre-4"], region="north-america")
BATCH = "spark.sql.execution.arrow.maxRecordsPerBatch"


@pytest.fixture(scope="module")
def spark() -> Iterator[Any]:
    """A notebook's session."""
    with running(None, 2) as session:
        yield session


def locally(path: Path, out: Path, *, prior: Path | None = None) -> Path:
    before = None if prior is None else str(prior)
    plan = planned(KFRE(), find_export([str(path)]), AT, engine="aho", shards=FEWEST_SHARDS, prior=before)
    score_export(plan, KFRE, out)
    return out


def digests(out: Path) -> dict[str, str]:
    """Everything that a run leaves behind, charts for the next run too."""
    files = (file for file in sorted(out.rglob("*")) if file.is_file() and file.name not in (".lock", "run.json"))
    return {str(file.relative_to(out)): sha256(file.read_bytes()).hexdigest() for file in files}


def told(out: Path) -> dict[str, Any]:
    report: dict[str, Any] = json.loads((out / "run.json").read_bytes())
    return {
        key: value
        for key, value in report.items()
        if key not in ("engine", "workers", "prefilter", "seconds", "finished")
    }


def lines(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (EXPORT / f"{name}.ndjson").read_text(encoding="utf-8").splitlines()]


def write(path: Path, found: list[dict[str, Any]], *, broken: str = "") -> None:
    text = "".join(json.dumps(one) + "\n" for one in found) + broken
    packed = gzip.compress(text.encode(), mtime=0)
    path.write_bytes(packed if path.name.endswith(".gz") else text.encode())


def of(patient: str, one: dict[str, Any]) -> bool:
    return bool(one["subject"]["reference"] == f"Patient/{patient}")


def scored(out: Path) -> set[str]:
    written = (out / "RiskAssessment.ndjson").read_text(encoding="utf-8").splitlines()
    return {json.loads(line)["subject"]["reference"].removeprefix("Patient/") for line in written}


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The fixtures' export, scored on one machine."""
    return locally(EXPORT, tmp_path_factory.mktemp("first") / "out")


@pytest.fixture
def odd(tmp_path: Path, first: Path) -> tuple[Path, str]:
    """An export with all that is hard, and the patient in it whose results lie under a replaced record's id.

    Results are packed, one file is of two ranges, lines of both are rejected, and the replaced record is another
    shard's.
    """
    patient = min(scored(first))
    home = shard_of(patient.encode(), FEWEST_SHARDS)
    old = next(f"old-{n}" for n in range(99) if shard_of(f"old-{n}".encode(), FEWEST_SHARDS) != home)
    patients, results = lines("Patient"), lines("Observation")
    for one in patients:
        if one["id"] == patient:
            one["link"] = [{"type": "replaces", "other": {"reference": f"Patient/{old}"}}]
    for one in results:
        if of(patient, one):
            one["subject"]["reference"] = f"Patient/{old}"
    folder = tmp_path / "odd"
    shutil.copytree(EXPORT, folder)
    (folder / "Observation.ndjson").unlink()
    write(folder / "Observation.ndjson.gz", results)
    write(folder / "Patient.ndjson", patients, broken='{"resourceType": "Patient", "id":\n')
    claim = b'{"resourceType": "Claim", "note": "' + b"x" * (1 << 20) + b'"}\n'
    bundle = b'{"resourceType": "Bundle", "type": "batch"}\n'
    egfr = next(one for one in results if one["code"]["coding"][0]["code"] == "98979-8")
    nobodys = json.dumps({**egfr, "subject": {"display": "somebody"}}).encode()
    (folder / "Claim.ndjson").write_bytes(bundle + claim * (RANGE_BYTES // len(claim) + 2) + bundle + nobodys)
    return folder, patient


def test_the_fixtures_lead_to_the_same_files(spark: Any, first: Path, tmp_path: Path) -> None:
    report = score(spark, EXPORT, KFRE, AT, out=tmp_path / "out")
    assert report["engine"] == "spark"
    assert report["outcomes"]["kfre-4"]["scored"] > 1
    assert digests(tmp_path / "out") == digests(first)
    assert told(tmp_path / "out") == told(first)


def test_a_published_export_leads_to_the_same_files(spark: Any, shared_data: Path, tmp_path: Path) -> None:
    path = shared_data / "data" / "synthea-2019-ndjson"
    score(spark, str(path), KFRE, AT, out=tmp_path / "spark")
    local = locally(path, tmp_path / "local")
    assert told(local)["patients"] > 5
    assert digests(tmp_path / "spark") == digests(local)
    assert told(tmp_path / "spark") == told(local)


def test_an_odd_export_leads_to_the_same_files(spark: Any, odd: tuple[Path, str], tmp_path: Path) -> None:
    folder, patient = odd
    score(spark, folder, KFRE, AT, out=tmp_path / "spark")
    local = locally(folder, tmp_path / "local")
    assert digests(tmp_path / "spark") == digests(local)
    assert told(tmp_path / "spark") == told(local)
    assert patient in scored(tmp_path / "spark")
    rejects = [json.loads(line) for line in (tmp_path / "spark" / "rejects.ndjson").read_bytes().splitlines()]
    count = (folder / "Claim.ndjson").read_bytes().count(b"\n") + 1
    assert [one["line"] for one in rejects if one["file"] == "Claim.ndjson"] == [1, count - 1, count]
    assert {one["file"] for one in rejects} == {"Claim.ndjson", "Patient.ndjson"}


def test_a_run_after_another_leads_to_the_same_files(spark: Any, first: Path, tmp_path: Path) -> None:
    """One patient's results were deleted, another's amended, a third was not exported again."""
    gone, amended, *_ = sorted(scored(first))
    folder = tmp_path / "changes"
    (folder / "deleted").mkdir(parents=True)
    write(
        folder / "Observation.ndjson",
        [{**one, "status": "amended"} for one in lines("Observation") if of(amended, one)],
    )
    requests = [
        {"request": {"method": "DELETE", "url": f"Observation/{one['id']}"}}
        for one in lines("Observation") if of(gone, one)
    ]  # fmt: skip
    write(folder / "deleted" / "1.ndjson", [{"resourceType": "Bundle", "type": "transaction", "entry": requests}])
    score(spark, folder, KFRE, AT, out=tmp_path / "spark", prior=first)
    local = locally(folder, tmp_path / "local", prior=first)
    assert (local / "retracted.ndjson").stat().st_size > 0
    assert digests(tmp_path / "spark") == digests(local)
    assert told(tmp_path / "spark") == told(local)


def test_a_notebooks_session_stays_as_it_was(spark: Any, tmp_path: Path) -> None:
    session = spark.newSession()
    session.conf.set(BATCH, "999")
    score(session, EXPORT, KFRE, AT, out=tmp_path / "out")
    assert session.conf.get(BATCH) == "999"
    session.conf.unset(BATCH)
    before = session.conf.getAll
    with pytest.raises(RequestError, match="time zone"):
        score(session, EXPORT, KFRE, AT.replace(tzinfo=None), out=tmp_path / "other")
    assert session.conf.getAll == before
    assert session.range(3).count() == 3
    assert not session.sparkContext._jsc.sc().getPersistentRDDs().size()


def test_a_file_that_is_cut_off_is_named_and_nothing_else_told(spark: Any, tmp_path: Path) -> None:
    folder = tmp_path / "export"
    shutil.copytree(EXPORT, folder)
    packed = gzip.compress((folder / "Observation.ndjson").read_bytes())
    (folder / "Observation.ndjson").unlink()
    (folder / "Observation.ndjson.gz").write_bytes(packed[: len(packed) // 2])
    with pytest.raises(ExportUnreadable) as error:
        score(spark, folder, KFRE, AT, out=tmp_path / "out")
    assert error.value.message == "Observation.ndjson.gz: it is cut off: fetch it again"
    assert error.value.__cause__ is None


def test_a_run_that_ended_early_goes_on_only_with_the_same_files(spark: Any, first: Path, tmp_path: Path) -> None:
    folder = tmp_path / "export"
    shutil.copytree(EXPORT, folder)
    cut = folder / "Z.ndjson.gz"
    cut.write_bytes(gzip.compress(b"x" * 999)[:20])
    with pytest.raises(ExportUnreadable, match=r"Z\.ndjson\.gz"):
        score(spark, folder, KFRE, AT, out=tmp_path / "out")
    with pytest.raises(RequestError, match="unfinished run"):
        score(spark, folder, KFRE, AT, out=tmp_path / "out")
    cut.write_bytes(gzip.compress(b"\n"))
    with pytest.raises(RequestError, match=r"Z\.ndjson\.gz has changed"):
        score(spark, folder, KFRE, AT, out=tmp_path / "out", resume=True)


def test_a_run_that_was_killed_is_gone_on_with_as_of_its_own_instant(spark: Any, first: Path, tmp_path: Path) -> None:
    begin(planned(KFRE(), find_export([str(EXPORT)]), AT, engine="aho"), Work(tmp_path), resume=False)
    report = score(spark, EXPORT, KFRE, AT.replace(year=2027), out=tmp_path, resume=True)
    assert told(tmp_path) == told(first)
    assert digests(tmp_path) == digests(first)
    assert score(spark, EXPORT, KFRE, AT.replace(year=2028), out=tmp_path, resume=True) == report


def test_what_breaks_on_an_executor_is_told_by_its_place_and_never_by_its_text(spark: Any, tmp_path: Path) -> None:
    plan = planned(KFRE(), find_export([str(EXPORT)]), AT, engine="aho")
    breaks = partial(itemgetter("canary"), {})
    with pytest.raises(RunInterrupted, match=r"a defect: KeyError at .*\.py:\d+$") as error:
        score_on_spark(plan, breaks, tmp_path / "out", session=spark)
    assert "canary" not in str(error.value)
    assert error.value.__suppress_context__


def test_executors_without_bedside_are_told_of(spark: Any) -> None:
    def as_there(_: Iterator[Any]) -> Iterator[Any]:
        raise ModuleNotFoundError("No module named 'cds'")

    with pytest.raises(SiteError, match="the executors have no cds: install Bedside"), in_our_words():
        spark.range(1).mapInArrow(as_there, "id long").collect()


@pytest.mark.parametrize("words", ["java.lang.OutOfMemoryError: Java heap space", "TaskResultLost (result lost)"])
def test_a_driver_without_memory_is_told_what_it_needs(words: str) -> None:
    with pytest.raises(SiteError, match=r"out of memory: give the driver more \(spark.driver.memory\)"), in_our_words():
        raise Py4JError(f"An error occurred while calling o143.getResult: {words}")


def test_a_model_that_is_not_there_is_told_with_those_that_are() -> None:
    with pytest.raises(SiteError, match=r"kfre-5: there is no such model; there are .*kfre-4"):
        recipe("kfre-5", region="north-america")


def command(*more: str, **environment: str) -> subprocess.CompletedProcess[str]:
    begin = [sys.executable, "-m", "cds.cli", "score", str(EXPORT), "--region", "north-america"]
    return subprocess.run(
        [*begin, "--at", AT.isoformat(), "--engine", "spark", "--workers", "2", *more],
        cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, timeout=110, check=False,
    )  # fmt: skip


@pytest.fixture
def bare_path(tmp_path: Path) -> Callable[..., str]:
    """A PATH with what a bare machine has, and without the commands named."""

    def made(*absent: str) -> str:
        folder = tmp_path / "bin"
        folder.mkdir()
        for place in ("/usr/bin", "/bin"):
            for program in Path(place).iterdir():
                if program.name not in absent and not (folder / program.name).is_symlink():
                    (folder / program.name).symlink_to(program)
        return str(folder)

    return made


def test_the_command_starts_a_session_where_no_java_is_installed_and_prints_nothing_of_it(
    first: Path, tmp_path: Path, bare_path: Callable[..., str]
) -> None:
    ran = command("--out", str(tmp_path / "out"), PATH=bare_path("java", "ps"), JAVA_HOME=str(tmp_path / "no-java"))
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "Spark" not in ran.stdout
    assert digests(tmp_path / "out") == digests(first)
