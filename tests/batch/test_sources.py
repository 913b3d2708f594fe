"""An export may lie anywhere that fsspec reaches, and a file that changed is not the file that was planned."""

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from cds.batch.deletions import deleted_references
from cds.batch.finding import find_export
from cds.batch.local import score_export
from cds.batch.plan import planned
from cds.errors import ExportUnreadable, RequestError
from tests.batch.runs import AT, KFRE, Json, contents, run, whole, write
from tests.cli.command import EXPORT


@pytest.fixture
def afar() -> Iterator[str]:
    """The fixtures' export in fsspec's own file system in memory, as it would lie in a bucket."""
    store = fsspec.filesystem("memory")
    for file in EXPORT.iterdir():
        store.pipe(f"/bucket/export/{file.name}", file.read_bytes())
    yield "memory://bucket/export"
    store.rm("/bucket", recursive=True)


def test_an_export_afar_gives_the_scores_of_one_that_lies_here(afar: str, tmp_path: Path) -> None:
    plan = planned(KFRE(), find_export([afar]), AT, engine="aho")
    report = score_export(plan, KFRE, tmp_path / "afar")
    here = run(EXPORT, out=tmp_path / "here")
    assert contents(tmp_path / "afar") == contents(tmp_path / "here")
    assert report["inputs"] == here["inputs"]


def test_files_afar_may_be_named_one_by_one(afar: str) -> None:
    found = find_export([f"{afar}/Patient.ndjson", f"{afar}/Observation.ndjson"])
    assert [file.name for file in found.files] == ["Patient.ndjson", "Observation.ndjson"]


@pytest.mark.parametrize(
    ("place", "why"),
    [
        ("memory://nowhere/x.ndjson", "there is no such file or folder"),
        ("/nowhere/at/all", "there is no such file or folder"),
        ("s3://bucket/export", "s3://: .*s3fs"),
        ("gopher://old/x.ndjson", "cannot be reached"),
    ],
)
def test_what_cannot_be_reached_is_said(place: str, why: str) -> None:
    with pytest.raises(RequestError, match=why):
        find_export([place])


def test_a_signature_in_a_url_is_told_to_nobody() -> None:
    with pytest.raises(RequestError) as told:
        find_export(["memory://nowhere/x.ndjson?sig=canary"])
    assert "canary" not in told.value.message


@pytest.mark.proves("R60", "a file's recorded SHA-256 serves while the file is as it was recorded, and no longer")
def test_a_recorded_digest_serves_only_for_the_file_as_it_was(tmp_path: Path) -> None:
    file = write(tmp_path / "Patient.0.ndjson", whole("a"))
    kept = {"bytes": file.stat().st_size, "lines": 4, "sha256": "recorded"}
    entry = {"kind": "output", "name": file.name, "type": "ByPatient", "kept": kept}
    record = tmp_path / "export.json"
    record.write_text(json.dumps({"state": "complete", "files": [entry]}))
    [found] = find_export([str(tmp_path)]).files
    assert (found.digest(), found.declared) == ("recorded", None)
    later = record.stat().st_mtime_ns + 10**9
    os.utime(file, ns=(later, later))
    [found] = find_export([str(tmp_path)]).files
    assert found.digest() == hashlib.sha256(file.read_bytes()).hexdigest()


def test_two_files_of_one_name_are_told_apart(tmp_path: Path) -> None:
    files = [write(tmp_path / where / "x.ndjson", whole(where)) for where in ("north", "south")]
    found = find_export([str(file) for file in files]).files
    assert [file.name for file in found] == ["north/x.ndjson", "south/x.ndjson"]


@pytest.mark.proves(
    "B14", "deleted files: plain and in Bundles of many, relative and absolute; what is none is refused"
)
def test_what_a_server_deleted_is_read_from_its_bundles(tmp_path: Path) -> None:
    urls = ["Patient/1", "https://ehr.example/fhir/Observation/2", "Condition/3?_cascade=delete"]
    entries = [{"request": {"method": "DELETE", "url": url}} for url in urls]
    other = {"request": {"method": "PUT", "url": "Patient/9"}, "resource": {"resourceType": "Patient", "id": "9"}}
    lines: list[Json | bytes | str] = [
        {"resourceType": "Bundle", "type": "transaction", "entry": entries[:2]},
        b"\n",
        {"resourceType": "Bundle", "type": "transaction", "entry": [*entries[2:], other]},
    ]
    write(tmp_path / "deleted" / "Patient.0001.ndjson", lines)
    write(tmp_path / "Patient.0001.ndjson", whole("a"))
    found = find_export([str(tmp_path)])
    assert deleted_references(found.deleted) == {"Patient/1", "Observation/2", "Condition/3"}
    write(tmp_path / "deleted" / "Patient.0002.ndjson", [b"{oops\n"])
    with pytest.raises(ExportUnreadable, match=r"deleted/Patient\.0002\.ndjson: a line is no Bundle of deletions"):
        deleted_references(find_export([str(tmp_path)]).deleted)
