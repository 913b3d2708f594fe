"""A run is written to a real FHIR server, and written again, changed, retracted and foreseen there."""

import asyncio
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from fhir.resources.R4B.provenance import Provenance
from fhir.resources.R4B.riskassessment import RiskAssessment

from cds.bulk.target import NoAccess, Patience
from cds.bulk.write_back import Wanted, write_back
from cds.errors import TokenRejected, UnsafeToWrite
from tests.bulk.runs import assessments, charts, retracted, run_folder
from tests.cli.command import bedside
from tests.ehr.sekmet import Sekmet, sekmet

Json = dict[str, Any]
STATED = "tests.bulk.stated:app_factory"


class Tokens:
    """Access as a caller has it: the first token may have ended, a fresh one holds."""

    def __init__(self, good: str, first: str = "ended") -> None:
        self.good, self.first, self.asked = good, first, 0

    async def token(self, *, fresh: bool = False) -> str | None:
        if fresh:
            self.asked, self.first = self.asked + 1, self.good
        return self.first


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sekmet]:
    with sekmet(tmp_path_factory.mktemp("sekmet"), STATED, "none") as server:
        server.load(resource for chart in charts().values() for resource in chart)
        yield server


@pytest.fixture
def server(started: Sekmet) -> Iterator[Sekmet]:
    """The server with the stories' patients and no result of ours."""
    yield started
    for kind in ("RiskAssessment", "Provenance"):
        for resource in kept(started, kind).values():
            assert httpx.delete(f"{started.fhir_base}/{kind}/{resource['id']}").status_code == 200


def kept(server: Sekmet, kind: str = "RiskAssessment") -> dict[str, Json]:
    """What the server keeps of a type, by id."""
    bundle = httpx.get(f"{server.fhir_base}/{kind}?_count=500", timeout=20).json()
    return {entry["resource"]["id"]: entry["resource"] for entry in bundle.get("entry", ())}


def write(server: Sekmet, folder: Path, *, clean: bool = True, **wanted: Any) -> Json:
    """What the command would print, without a process for each time."""
    tally = asyncio.run(write_back(folder, server.fhir_base, NoAccess(), Wanted(**wanted)))
    said: Json = json.loads(msgspec.json.encode(tally.told()))
    assert said["lines"] == said["written"] + said["unchanged"] + said["changed_there"] + said["failed"]
    assert tally.clean is clean
    return said


def versions(server: Sekmet) -> dict[str, str]:
    return {
        id_: resource["meta"]["versionId"]
        for kind in ("RiskAssessment", "Provenance")
        for id_, resource in kept(server, kind).items()
    }


@pytest.mark.proves("B28", "twelve stories: each result under its own id, a second run writes nothing")
@pytest.mark.proves("D34", "PUT by deterministic id where updateCreate is stated")
def test_a_run_is_written_once_however_often_it_is_run(server: Sekmet, tmp_path: Path) -> None:
    results = assessments()
    folder = run_folder(tmp_path / "run", results)
    first = write(server, folder)
    assert (first["created"], first["provenance"]["written"]) == (len(results), len(results))
    assert {id_: shown(one) for id_, one in kept(server).items()} == {one["id"]: one for one in results}
    before = versions(server)
    again = write(server, folder)
    assert (again["unchanged"], again["written"]) == (len(results), 0)
    for progress in folder.glob("write-*.jsonl"):
        progress.unlink()
    assert write(server, folder)["unchanged"] == len(results)
    assert versions(server) == before


def shown(resource: Json) -> Json:
    return {name: value for name, value in resource.items() if name != "meta"}


def test_what_is_written_is_r4_and_its_provenance_names_its_sources(server: Sekmet, tmp_path: Path) -> None:
    results = assessments()
    write(server, run_folder(tmp_path / "run", results))
    by_target = {one["target"][0]["reference"]: one for one in kept(server, "Provenance").values()}
    for result in results:
        RiskAssessment.model_validate(result)
        told = by_target[f"RiskAssessment/{result['id']}"]
        Provenance.model_validate(told)
        assert [entity["what"] for entity in told["entity"]] == result["basis"]
        assert {entity["role"] for entity in told["entity"]} == {"source"}
        assert told["recorded"] == "2026-11-22T15:00:00Z"
        assert told["activity"]["coding"][0]["code"] == "CREATE"
        assert told["agent"][0]["who"]["display"] == "Bedside 0.1.0"


@pytest.mark.proves("B28", "--dry-run makes GET requests only, and foretells each count of the run")
def test_a_dry_run_foretells_and_changes_nothing(server: Sekmet, tmp_path: Path) -> None:
    results = assessments()
    write(server, run_folder(tmp_path / "first", results[:4]))
    put(server, {**kept(server)[results[0]["id"]], "status": "amended"})
    before = versions(server)
    folder = run_folder(tmp_path / "second", [results[0], *results[2:]], [retracted(results[1])])
    foretold = write(server, folder, clean=False, dry_run=True)
    assert versions(server) == before
    assert not list(folder.glob("write-*"))
    assert (foretold["created"], foretold["retracted"], foretold["unchanged"], foretold["changed_there"]) == (
        len(results) - 4, 1, 2, 1,
    )  # fmt: skip
    done = write(server, folder, clean=False)
    assert {**done, "dry_run": True, "provenance": foretold["provenance"]} == foretold


def put(server: Sekmet, resource: Json) -> None:
    url = f"{server.fhir_base}/{resource['resourceType']}/{resource['id']}"
    assert httpx.put(url, json=resource).status_code in (200, 201)


@pytest.mark.proves("D34", "a retracted result is marked entered-in-error, and told as NULLIFY")
def test_a_retracted_result_is_marked_entered_in_error(server: Sekmet, tmp_path: Path) -> None:
    results = assessments()
    write(server, run_folder(tmp_path / "first", results))
    folder = run_folder(tmp_path / "second", results[2:], [retracted(results[0]), retracted(results[1])])
    done = write(server, folder)
    assert (done["retracted"], done["unchanged"]) == (2, len(results) - 2)
    states = [kept(server)[one["id"]]["status"] for one in results]
    assert states == ["entered-in-error"] * 2 + ["final"] * (len(results) - 2)
    codes = [one["activity"]["coding"][0]["code"] for one in kept(server, "Provenance").values()]
    assert sorted(codes) == ["CREATE"] * len(results) + ["NULLIFY"] * 2
    before = versions(server)
    assert write(server, folder)["written"] == 0
    assert versions(server) == before


def test_a_retraction_of_what_is_not_there_writes_nothing(server: Sekmet, tmp_path: Path) -> None:
    done = write(server, run_folder(tmp_path / "run", [], [retracted(assessments()[0])]))
    assert (done["nothing_to_retract"], done["written"], kept(server)) == (1, 0, {})


@pytest.mark.proves(
    "B28", "what somebody else changed or removed stands, is listed by line, and --overwrite is asked for"
)
@pytest.mark.parametrize("forgotten", [False, True], ids=["with-progress", "without-progress"])
def test_what_somebody_else_changed_is_not_overwritten(server: Sekmet, tmp_path: Path, forgotten: bool) -> None:
    results = assessments()
    folder = run_folder(tmp_path / "run", results)
    write(server, folder)
    for progress in folder.glob("write-*.jsonl") if forgotten else ():
        progress.unlink()
    put(server, {**kept(server)[results[1]["id"]], "status": "cancelled"})
    put(server, {**kept(server)[results[2]["id"]], "status": "amended"})
    done = write(server, folder, clean=False)
    assert (done["changed_there"], done["written"]) == (2, 0)
    assert [(one["file"], one["line"]) for one in done["listed"]] == [("RiskAssessment.ndjson", n) for n in (2, 3)]
    assert write(server, folder, overwrite=True)["updated"] == 2
    assert {one["status"] for one in kept(server).values()} == {"final"}


def test_what_somebody_removed_is_not_brought_back(server: Sekmet, tmp_path: Path) -> None:
    results = assessments()
    folder = run_folder(tmp_path / "run", results)
    write(server, folder)
    httpx.delete(f"{server.fhir_base}/RiskAssessment/{results[0]['id']}")
    assert write(server, folder, clean=False)["changed_there"] == 1
    assert write(server, folder, overwrite=True)["created"] == 1


def test_a_newer_result_of_ours_replaces_the_older(server: Sekmet, tmp_path: Path) -> None:
    """The same model, patient and instant, but a late laboratory result gave another number."""
    results = assessments()
    folder = run_folder(tmp_path / "run", results)
    write(server, folder)
    late = {**results[0], "note": [{"text": "A result came late."}]}
    done = write(server, run_folder(folder, [late, *results[1:]]))
    assert (done["updated"], done["unchanged"], done["provenance"]["written"]) == (1, len(results) - 1, 1)
    assert kept(server)[late["id"]]["note"] == late["note"]
    codes = [one["activity"]["coding"][0]["code"] for one in kept(server, "Provenance").values()]
    assert sorted(codes) == ["CREATE"] * len(results) + ["UPDATE"]


@pytest.mark.proves("B28", "a server that does not hold the run's patients is written nothing, exit 4")
def test_nothing_is_written_where_the_patients_are_not(server: Sekmet, tmp_path: Path) -> None:
    results = assessments()
    results[0]["subject"]["reference"] = "Patient/of-another-hospital"
    folder = run_folder(tmp_path / "run", results)
    done = bedside("write", str(folder), "--to", server.fhir_base, "--no-auth")
    assert done.returncode == 4
    assert f"1 of {len(results)} sampled patients are not on this server" in done.stderr
    assert "another-hospital" not in done.stdout + done.stderr
    assert kept(server) == {}
    assert write(server, folder, check_patients=False)["created"] == len(results)


def test_the_command_tells_its_counts_in_words_and_as_json(server: Sekmet, tmp_path: Path) -> None:
    results = assessments()
    folder = run_folder(tmp_path / "run", results)
    command = ("write", str(folder), "--to", server.fhir_base, "--no-auth")
    assert f"would be created {len(results)}, updated 0" in bedside(*command, "--dry-run").stdout
    assert f"{len(results)} results: created {len(results)}, updated 0" in bedside(*command).stdout
    put(server, {**kept(server)[results[0]["id"]], "status": "cancelled"})
    again = bedside(*command, "--json")
    assert again.returncode == 3
    assert (json.loads(again.stdout)["changed_there"], again.stderr) == (1, "")
    told = bedside(*command)
    assert "RiskAssessment.ndjson:1: it was changed or removed on the server" in told.stderr


def test_an_addition_of_somebody_else_is_neither_a_difference_nor_lost(server: Sekmet, tmp_path: Path) -> None:
    results = assessments()
    folder = run_folder(tmp_path / "run", results)
    write(server, folder)
    put(server, {**kept(server)[results[0]["id"]], "mitigation": "Referred."})
    assert write(server, folder)["unchanged"] == len(results)
    assert kept(server)[results[0]["id"]]["mitigation"] == "Referred."


@pytest.mark.proves("D34", "a server whose CapabilityStatement lacks RiskAssessment is refused, exit 4")
def test_a_server_that_does_not_state_risk_assessment_is_refused(tmp_path: Path) -> None:
    """As sekmet-fhir 0.1.1 comes: it would keep one, but does not say so."""
    (tmp_path / "data").mkdir()
    folder = run_folder(tmp_path / "run", assessments())
    with sekmet(tmp_path / "data", types="none") as plain:
        done = bedside("write", str(folder), "--to", plain.fhir_base, "--no-auth")
    assert done.returncode == 4
    assert "does not say that it stores RiskAssessment" in done.stderr
    assert "updateCreate" in done.stderr


def test_a_token_that_has_ended_is_renewed_once(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    folder = run_folder(tmp_path / "run", assessments())
    wanted = Wanted(patience=Patience(first=0.01))
    with sekmet(tmp_path / "data", STATED) as guarded:
        guarded.load(resource for chart in charts().values() for resource in chart)
        access = Tokens(guarded.token)
        tally = asyncio.run(write_back(folder, guarded.fhir_base, access, wanted))
        assert (tally.written, tally.clean, access.asked) == (len(assessments()), True, 1)
        shutil.copytree(folder, tmp_path / "other")
        with pytest.raises(TokenRejected, match="fresh"):
            asyncio.run(write_back(tmp_path / "other", guarded.fhir_base, Tokens("made-up"), wanted))


def test_a_statement_of_another_fhir_version_is_refused() -> None:
    from cds.bulk.capability import read_abilities

    with pytest.raises(UnsafeToWrite, match="not R4"):
        read_abilities({"resourceType": "CapabilityStatement", "fhirVersion": "5.0.0", "rest": []})
