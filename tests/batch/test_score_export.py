"""A whole export: what is written, that it adds up, and that nothing of it hangs on how the files were cut."""

import gzip
import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from fhir.resources.R4B.riskassessment import RiskAssessment

from cds.batch.finding import find_export
from cds.errors import ExportUnreadable, RequestError
from fhir_fixtures.stories import STORIES
from tests.batch.runs import (
    AT,
    FILES,
    Json,
    by_patient,
    contents,
    creatinine,
    lines,
    patient,
    run,
    scores,
    uacr,
    whole,
    write,
)
from tests.cli.command import EXPORT, bedside

MORNING = "2026-11-02T08:00:00Z"


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Json]:
    """The fixtures' export, scored."""
    out = tmp_path_factory.mktemp("run") / "out"
    return out, run(EXPORT, out=out)


def test_every_patient_of_the_fixtures_is_scored_or_refused_for_a_reason(told: tuple[Path, Json]) -> None:
    out, report = told
    assert report["patients"] == len(STORIES) == 12
    outcome = report["outcomes"]["kfre-4"]
    assert (outcome["scored"], sum(outcome["not_scored"].values()), outcome["rejected"]) == (5, 7, {})
    assert {row["patient"] for row in scores(out)} == {story.patient for story in STORIES}
    assert report["lines"] == {"in": 243, "kept": 130, "rejected": 0}


@pytest.mark.proves("B29", "patients in = scored + not scored by reason + rejected, in run.json and by the rows")
def test_the_counts_are_those_of_the_rows(told: tuple[Path, Json]) -> None:
    out, report = told
    rows = [row for row in scores(out) if row["horizon_years"] == 2]
    reasons = report["outcomes"]["kfre-4"]["not_scored"]
    assert {reason: len([r for r in rows if r["reason"] == reason]) for reason in reasons} == reasons
    assert len(rows) == report["patients"]


def test_a_newcomer_reads_the_scores_with_another_tool(told: tuple[Path, Json]) -> None:
    out, _ = told
    asked = (
        "select patient, horizon_years, round(100 * probability, 1), band from read_parquet(?) where outcome = 'risk'"
    )
    found = duckdb.execute(f"{asked} and patient like 'refer%' order by 2", [str(out / "scores.parquet")]).fetchall()
    assert [row[:2] for row in found] == [("refer-64m", 2.0), ("refer-64m", 5.0)]
    assert [row[3] for row in found] == ["<= 10 %", "> 5 %"]


@pytest.mark.proves(
    "B28", "every RiskAssessment valid R4, its id and identifier the same in two runs and by its own row"
)
def test_each_risk_has_its_assessment(told: tuple[Path, Json], tmp_path: Path) -> None:
    out, _ = told
    written = {one["id"]: one for one in lines(out / "RiskAssessment.ndjson")}
    rows = [row for row in scores(out) if row["outcome"] == "risk"]
    assert {row["assessment"] for row in rows} == set(written)
    for row in rows:
        one = written[row["assessment"]]
        assert RiskAssessment.model_validate(one).id == row["assessment"]
        assert one["subject"]["reference"] == f"Patient/{row['patient']}"
        predicted = {p["whenRange"]["high"]["value"]: p["probabilityDecimal"] for p in one["prediction"]}
        assert predicted[row["horizon_years"]] == round(row["probability"] * 100, 6)
    run(EXPORT, out=tmp_path / "again")
    assert contents(tmp_path / "again") == contents(out)


def test_run_json_names_what_was_read_and_written_by_their_digests(told: tuple[Path, Json]) -> None:
    out, report = told
    assert json.loads((out / "run.json").read_bytes()) == report
    for one in report["inputs"]:
        assert one["sha256"] == hashlib.sha256((EXPORT / one["file"]).read_bytes()).hexdigest()
        assert one["lines"] == len((EXPORT / one["file"]).read_bytes().splitlines())
    for name in FILES:
        data = (out / name).read_bytes()
        assert report["outputs"][name] == {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def cut(folder: Path, how: str) -> Path:
    """The fixtures' export in other files: in one, in many, packed, with other line ends, in another order."""
    folder.mkdir()
    rows = [(file.stem, line) for file in sorted(EXPORT.iterdir()) for line in file.read_bytes().splitlines()]
    if how == "one file":
        write(folder / "all.ndjson", [line + b"\n" for _, line in rows])
    elif how == "many files":
        for number, (kind, line) in enumerate(rows):
            write(folder / f"{kind}.{number:04}.ndjson", [line + b"\n"])
    elif how == "packed":
        for file in EXPORT.iterdir():
            (folder / f"{file.name}.gz").write_bytes(gzip.compress(file.read_bytes()))
    elif how == "another order":
        write(folder / "all.ndjson", [line + b"\n" for _, line in reversed(rows)])
    else:
        data = b"\xef\xbb\xbf" + b"\r\n\r\n".join(line for _, line in rows)
        write(folder / "all.ndjson", [data])
    return folder


@pytest.mark.proves("B22", "BOM, CRLF, blank lines, no last line end: the same scores, byte for byte, and 0 rejects")
@pytest.mark.proves(
    "B27", "12 patients in files by type, in one, in 243, packed, backwards: the same scores, byte for byte"
)
@pytest.mark.parametrize("how", ["one file", "many files", "packed", "another order", "BOM, CRLF, blank lines, no end"])
def test_however_an_export_is_cut_the_scores_are_the_same(how: str, told: tuple[Path, Json], tmp_path: Path) -> None:
    report = run(cut(tmp_path / "export", how), out=tmp_path / "o")
    assert contents(tmp_path / "o") == contents(told[0])
    assert report["lines"]["kept"] == told[1]["lines"]["kept"]


def test_two_workers_write_what_one_writes(told: tuple[Path, Json], tmp_path: Path) -> None:
    report, unlike = run(EXPORT, out=tmp_path / "out", workers=2), {"seconds": {}, "finished": ""}
    assert contents(tmp_path / "out") == contents(told[0])
    assert {**report, "workers": 1, **unlike} == {**told[1], **unlike}


@pytest.mark.proves("B27", "relative, absolute, versioned and urn references of one patient: one chart")
def test_references_of_every_form_reach_their_patient(tmp_path: Path) -> None:
    base = "https://ehr.example/fhir"
    export = [
        patient("a"),
        creatinine("c0", "urn:uuid:a", 2.0, "2026-07-01T08:00:00Z"),
        creatinine("c1", f"{base}/Patient/a", 2.0),
        uacr("u", "Patient/a/_history/3"),
    ]
    run(write(tmp_path / "x.ndjson", export), out=tmp_path / "out")
    row = by_patient(tmp_path / "out")["a"]
    assert (row["outcome"], row["cautions"]) == ("risk", [])


def test_two_servers_in_one_chart_are_two_patients(tmp_path: Path) -> None:
    one, other = (f"https://{name}.example/fhir/Patient/a" for name in ("north", "south"))
    export = [patient("a"), creatinine("c", one, 2.0), uacr("u", other), *whole("b")]
    report = run(write(tmp_path / "x.ndjson", export), out=tmp_path / "out")
    assert report["outcomes"]["kfre-4"] == {"scored": 1, "not_scored": {}, "rejected": {"identity": 1}}
    assert by_patient(tmp_path / "out")["a"]["probability"] is None


def test_records_of_one_person_are_scored_under_the_one_that_stands(tmp_path: Path) -> None:
    link = [{"type": "replaces", "other": {"reference": "Patient/old"}}]
    export = [patient("old"), creatinine("c0", "Patient/old", 2.0, "2026-07-01T08:00:00Z"), uacr("u", "Patient/old")]
    export += [patient("new", link=link), creatinine("c1", "Patient/new", 2.0)]
    report = run(write(tmp_path / "x.ndjson", export), out=tmp_path / "out")
    assert (report["patients"], list(by_patient(tmp_path / "out"))) == (1, ["new"])
    assert by_patient(tmp_path / "out")["new"]["outcome"] == "risk"


@pytest.mark.parametrize(
    "links",
    [{"b": ["a"], "c": ["a"]}, {"a": ["b"], "b": ["a"]}, {"b": ["a"], "c": ["b"], "a": ["c"]}],
    ids=["two claim one", "each the other", "a circle"],
)
def test_where_it_is_unclear_which_record_stands_nobody_of_them_is_scored(
    links: dict[str, list[str]], tmp_path: Path
) -> None:
    export = [line for name in "abc" for line in whole(name)[1:]]
    for name in "abc":
        others = [{"type": "replaces", "other": {"reference": f"Patient/{old}"}} for old in links.get(name, ())]
        export.append(patient(name, **({"link": others} if others else {})))
    run(write(tmp_path / "x.ndjson", [*export, *whole("z")]), out=tmp_path / "out")
    found = by_patient(tmp_path / "out")
    involved = set(links) | {old for olds in links.values() for old in olds}
    assert {name for name in found if found[name]["reason"] == "identity"} == involved
    assert found["z"]["outcome"] == "risk"


NOBODY = "Observation: its subject has no reference"
TORN = b'{"resourceType":"Observation","id":"x","code":{"coding":[{"code":"2160-0"\n'
ODD: list[tuple[str, Json | bytes, str]] = [
    ("truncated", TORN, "not a whole JSON object"),
    ("half", b'"id":"x","code":"2160-0"}\n', "not a whole JSON object"),
    ("not JSON", b"{2160-0}\n", "not JSON"),
    ("outcome", {"resourceType": "OperationOutcome", "issue": []}, "an OperationOutcome of the server among its data"),
    ("bundle", {"resourceType": "Bundle", "type": "batch"}, "a Bundle: NDJSON holds one resource a line"),
    ("nobody", {k: v for k, v in creatinine("x", "", 2.0).items() if k != "subject"}, NOBODY),
    ("identifier", {**creatinine("x", "", 2.0), "subject": {"identifier": {"value": "1"}}}, NOBODY),
    ("group", creatinine("x", "Group/1", 2.0), "Observation: its subject is no patient"),
    ("stranger", creatinine("x", "Patient/nobody", 2.0), "its patient is not in the data"),
    ("no id", {"resourceType": "Patient"}, "a Patient has no id"),
    ("no type", {"id": "x", "code": {"coding": [{"code": "2160-0"}]}}, "no FHIR resource: it has no resourceType"),
]  # fmt: skip


@pytest.mark.proves("R61", "11 kinds of bad line: each in rejects.ndjson by file, line and reason; the others scored")
@pytest.mark.proves("B24", "an OperationOutcome or a Bundle among the data: rejected by line, not scored")
@pytest.mark.parametrize(("line", "why"), [case[1:] for case in ODD], ids=[case[0] for case in ODD])
def test_a_bad_line_is_told_of_and_spoils_nobody(line: Json | bytes, why: str, tmp_path: Path) -> None:
    file = write(tmp_path / "x.ndjson", [*whole("a"), b"\n", line, *whole("b")])
    report = run(file, out=tmp_path / "out")
    assert report["outcomes"]["kfre-4"]["scored"] == report["patients"] == 2
    assert report["lines"] == {"in": 10, "kept": 8 + (why == "its patient is not in the data"), "rejected": 1}
    [told] = lines(tmp_path / "out" / "rejects.ndjson")
    assert (told["file"], told["line"]) == ("x.ndjson", 6)
    assert told["reason"].startswith(why)


def test_a_line_counts_from_the_beginning_of_its_own_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cds.batch.sources.RANGE_BYTES", 700)
    for name in ("a", "b"):
        write(
            tmp_path / "in" / f"{name}.ndjson",
            [*whole(name), *whole(f"{name}2"), b"{oops 2160-0}\n", *whole(f"{name}3")],
        )
    report = run(tmp_path / "in", out=tmp_path / "out")
    assert report["patients"] == 6
    told = [(one["file"], one["line"]) for one in lines(tmp_path / "out" / "rejects.ndjson")]
    assert told == [("a.ndjson", 9), ("b.ndjson", 9)]


def test_a_type_that_the_manifest_does_not_name_is_not_scored(tmp_path: Path) -> None:
    write(tmp_path / "Observation.0.ndjson", [creatinine("c", "Patient/a", 2.0), patient("x")])
    write(tmp_path / "Patient.0.ndjson", [patient("a")])
    files = [{"name": f"{kind}.0.ndjson", "type": kind} for kind in ("Observation", "Patient")]
    (tmp_path / "export.json").write_text(json.dumps({"state": "complete", "files": files}))
    report = run(tmp_path, out=tmp_path / "out")
    assert report["patients"] == 1
    assert [one["reason"] for one in lines(tmp_path / "out" / "rejects.ndjson")] == [
        "a Patient in a file of Observation"
    ]


def test_an_export_that_is_not_finished_is_not_scored(tmp_path: Path) -> None:
    write(tmp_path / "Patient.0.ndjson", whole("a"))
    (tmp_path / "export.json").write_text(json.dumps({"state": "running", "files": []}))
    with pytest.raises(ExportUnreadable, match="not complete: run the same `bedside export` again"):
        find_export([str(tmp_path)])


@pytest.mark.parametrize(
    ("names", "why"),
    [((), "no NDJSON files"), (("x.json",), "no NDJSON files"), (("empty.ndjson",), "no NDJSON files with anything")],
)
def test_a_folder_without_data_is_refused(names: tuple[str, ...], why: str, tmp_path: Path) -> None:
    for name in names:
        (tmp_path / name).touch()
    with pytest.raises(RequestError, match=why):
        find_export([str(tmp_path)])


def test_what_is_no_ndjson_is_named(tmp_path: Path) -> None:
    write(tmp_path / "in" / "x.ndjson", whole("a"))
    (tmp_path / "in" / "notes.txt").touch()
    told = bedside(
        "score", str(tmp_path / "in"), "--region", "elsewhere", "--out", str(tmp_path / "out"), "--at", "2026-11-22"
    )
    assert told.returncode == 0, told.stderr
    assert "not read, for it is no NDJSON: notes.txt" in told.stderr
    assert "1 patients of 4 lines" in told.stdout


@pytest.mark.proves(
    "D8", "6 spellings of one instant, and partial dates: the same result counts on every road and in any order"
)
@pytest.mark.parametrize("backwards", [False, True])
def test_ties_and_time_zones_follow_one_order(backwards: bool, tmp_path: Path) -> None:
    same = [
        "2026-11-02T08:00:00Z",
        "2026-11-02T10:00:00+02:00",
        "2026-11-02T03:00:00-05:00",
        "2026-11-02T08:00:00.000Z",
    ]
    export: list[Json | bytes | str] = [
        patient("a"),
        uacr("u", "Patient/a"),
        creatinine("z0", "Patient/a", 2.1, "2026-07-01"),
    ]
    values = [2.0, 2.2, 2.4, 2.6]
    export += [creatinine(f"c{n}", "Patient/a", v, w) for n, (v, w) in enumerate(zip(values, same, strict=True))]
    export.append(creatinine("b-later-issued", "Patient/a", 2.8, same[0], issued="2026-11-03T00:00:00Z"))
    export.append(creatinine("partial", "Patient/a", 3.0, "2026-10"))
    file = write(tmp_path / "x.ndjson", reversed(export) if backwards else export)
    run(file, out=tmp_path / "out")
    used = {one["name"]: one["source"] for one in by_patient(tmp_path / "out")["a"]["inputs"]}
    assert used["egfr"] == "Observation/b-later-issued"
    told = bedside("score", str(file), "--region", "north-america", "--json", "--at", AT.isoformat())
    [line] = [json.loads(one) for one in told.stdout.splitlines()]
    assert next(one["source"] for one in line["inputs"] if one["name"] == "egfr") == "Observation/b-later-issued"


def test_the_instant_is_whole_seconds_and_stands_in_every_row(tmp_path: Path) -> None:
    at = datetime(2026, 11, 22, 12, 0, 0, 123456, tzinfo=UTC)
    report = run(write(tmp_path / "x.ndjson", whole("a")), out=tmp_path / "out", at=at)
    assert report["at"] == "2026-11-22T12:00:00Z"
    assert {row["at"] for row in scores(tmp_path / "out")} == {at.replace(microsecond=0)}
    assert lines(tmp_path / "out" / "RiskAssessment.ndjson")[0]["occurrenceDateTime"] == "2026-11-22T12:00:00Z"


def test_a_chain_of_merged_records_is_one_in_any_order(tmp_path: Path) -> None:
    def chained(names: str) -> list[Json | bytes | str]:
        links = {new: [{"type": "replaces", "other": {"reference": f"Patient/{old}"}}] for new, old in ("ab", "bc")}
        found: list[Json | bytes | str] = []
        for name in names:
            found += [patient(name, **({"link": links[name]} if name in links else {})), *whole(name)[1:]]
        return found

    for number, names in enumerate(("abc", "cba", "bca")):
        run(write(tmp_path / f"{number}.ndjson", chained(names)), out=tmp_path / f"out-{number}")
        assert {name: row["outcome"] for name, row in by_patient(tmp_path / f"out-{number}").items()} == {"a": "risk"}


def test_a_link_to_another_server_swallows_nobody_here(tmp_path: Path) -> None:
    link = [{"type": "replaces", "other": {"reference": "https://mpi.example/fhir/Patient/b"}}]
    run(write(tmp_path / "x.ndjson", [patient("a", link=link), *whole("a")[1:], *whole("b")]), out=tmp_path / "out")
    assert {name: row["outcome"] for name, row in by_patient(tmp_path / "out").items()} == {"a": "risk", "b": "risk"}


@pytest.mark.proves("D8", "a line that could not be read, of a known patient: no older result stands in for it")
@pytest.mark.parametrize("engine", ["aho", "rg", "none"])
def test_the_newest_result_that_cannot_be_read_leaves_no_older_one(engine: Any, tmp_path: Path) -> None:
    broken = json.dumps(creatinine("c9", "Patient/a", 9.5, "2026-11-20T08:00:00Z")).replace("9.5", "1e999")
    report = run(write(tmp_path / "x.ndjson", [*whole("a"), broken, *whole("b")]), out=tmp_path / "out", engine=engine)
    assert report["outcomes"]["kfre-4"] == {"scored": 1, "not_scored": {}, "rejected": {"unavailable": 1}}
    assert by_patient(tmp_path / "out")["a"]["text"] == "a line of this patient's could not be read"
    assert report["lines"]["rejected"] == 1


def test_a_file_that_the_record_names_must_be_there_as_it_was(tmp_path: Path) -> None:
    write(tmp_path / "Patient.0.ndjson", [patient("a")])
    there: Json = {"bytes": (tmp_path / "Patient.0.ndjson").stat().st_size, "lines": 1, "sha256": "x"}
    files = [{"kind": "output", "name": "Patient.0.ndjson", "type": "Patient", "kept": there}]

    def recorded(*more: Json, **members: Any) -> None:
        (tmp_path / "export.json").write_text(json.dumps({"state": "complete", "files": [*files, *more], **members}))

    recorded({"kind": "output", "name": "Procedure.0.ndjson", "type": "Procedure"})
    with pytest.raises(ExportUnreadable, match=r"Procedure\.0\.ndjson: export\.json names it and it is not there"):
        find_export([str(tmp_path)])
    recorded({"kind": "deleted", "name": "deleted/Bundle.0.ndjson", "type": "Bundle"})
    with pytest.raises(ExportUnreadable, match=r"deleted/Bundle\.0\.ndjson: export\.json names it"):
        find_export([str(tmp_path)])
    there["bytes"] += 1
    recorded()
    with pytest.raises(ExportUnreadable, match="not as long as when it was fetched"):
        find_export([str(tmp_path)])
    there["bytes"] -= 1
    recorded(severities={"error": 2, "warning": 5}, transaction_time="2026-11-22T01:00:00Z")
    told = bedside(
        "score", str(tmp_path), "--region", "elsewhere", "--out", str(tmp_path / "out"), "--at", "2026-11-22"
    )
    assert told.returncode == 3
    assert "the server reported of its own export: 2 error" in told.stderr
    assert "exported as of 2026-11-22T01:00:00Z" in told.stdout


def test_links_are_followed_and_each_file_is_read_once(tmp_path: Path) -> None:
    real = write(tmp_path / "elsewhere" / "x.ndjson", whole("a"))
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "x.ndjson").symlink_to(real)
    report = run(tmp_path / "in", tmp_path / "in", real, out=tmp_path / "out")
    assert (report["lines"]["in"], report["outcomes"]["kfre-4"]["scored"]) == (4, 1)
    (tmp_path / "in" / "y.ndjson").symlink_to(tmp_path / "nowhere")
    with pytest.raises(ExportUnreadable, match=r"y\.ndjson: this link leads to no file"):
        find_export([str(tmp_path / "in")])


def test_what_is_not_looked_into_is_named(tmp_path: Path) -> None:
    write(tmp_path / "in" / "x.ndjson", whole("a"))
    write(tmp_path / "in" / "sub" / "y.ndjson", whole("b"))
    write(tmp_path / "in" / ".hidden.ndjson", whole("c"))
    assert run(tmp_path / "in", out=tmp_path / "out")["ignored"] == [".hidden.ndjson", "sub/"]
