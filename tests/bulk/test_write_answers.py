"""What counts as written is what the server says of it; where it says nothing of it, it is looked at again."""

from pathlib import Path
from typing import Any

import pytest
from starlette.responses import HTMLResponse, JSONResponse, Response

from tests.bulk.runs import assessments, many, retracted, run_folder
from tests.bulk.shelf import Shelf
from tests.bulk.test_write_faults import shelf, write

Json = dict[str, Any]
COMPLAINT: Json = {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "exception"}]}


def answering(server: Shelf, answer: Response, kind: str = "RiskAssessment") -> None:
    """Every write to this type is answered so, and not carried out."""
    server.fault = lambda _number, method, path: answer if method != "GET" and path.startswith(kind) else None


@pytest.mark.proves("B28", "a 200 that is not about the result counts as nothing: a sign-in page, an error, no word")
@pytest.mark.parametrize("road", ["put", "conditional"])
@pytest.mark.parametrize(
    "answer",
    [
        HTMLResponse("<html>Please sign in</html>"),
        HTMLResponse("<html>Please sign in</html>", headers={"etag": '"1"'}),
        JSONResponse(COMPLAINT),
        JSONResponse(COMPLAINT, 201, {"location": "RiskAssessment/1"}),
        JSONResponse({"signed": "out"}),
        Response(status_code=204),
        Response(status_code=202),
    ],
    ids=["page", "page-with-etag", "error", "error-with-place", "no-fhir", "204", "202"],
)
def test_what_somebody_else_answers_is_not_written(tmp_path: Path, road: str, answer: Response) -> None:
    server, results = shelf(road=road, bundles=False, provenance=None), assessments()[:2]
    answering(server, answer)
    tally = write(server, run_folder(tmp_path / "run", results))
    assert (tally.written, tally.failed, tally.listed[0].status) == (0, 2, 0)
    assert "did not say" in tally.listed[0].why


def test_a_retraction_that_nobody_carried_out_is_not_told_as_done(tmp_path: Path) -> None:
    server, results = shelf(bundles=False), assessments()
    write(server, run_folder(tmp_path / "first", results))
    answering(server, HTMLResponse("<html>Please sign in</html>"))
    tally = write(server, run_folder(tmp_path / "second", results[1:], [retracted(results[0])]))
    assert (tally.became["retracted"], tally.failed, tally.clean) == (0, 1, False)


@pytest.mark.proves("B28", "a server that stores and says nothing of it is looked at again, and written once")
@pytest.mark.parametrize("road", ["put", "conditional"])
@pytest.mark.parametrize("bundles", [True, False], ids=["bundles", "one-by-one"])
@pytest.mark.parametrize("status", [204, 201])
def test_what_is_stored_without_a_word_is_found_by_another_look(
    tmp_path: Path, road: str, bundles: bool, status: int
) -> None:
    server, results = shelf(road=road, bundles=bundles, provenance="put"), many(5)
    stored = server._write

    def silently(*asked: Any) -> tuple[int, Json, dict[str, str]]:
        return (status, {}, {}) if stored(*asked)[0] < 300 else (500, {}, {})

    server._write = silently  # type: ignore[method-assign,assignment]
    tally = write(server, run_folder(tmp_path / "run", results))
    assert (tally.clean, tally.became["created"], tally.provenance["written"]) == (True, 5, 5)
    assert set(server.writes.values()) == {1}


@pytest.mark.proves("B28", "an entry of a Bundle that says 200 and tells of an error is looked at again, not counted")
def test_an_entry_that_tells_of_an_error_is_not_written(tmp_path: Path) -> None:
    server, results = shelf(provenance=None), assessments()
    carried_out = server._bundle

    def complaining(body: Json) -> tuple[int, Json, dict[str, str]]:
        kept = [one for one in body["entry"] if one["resource"]["id"] != results[0]["id"]]
        status, answer, headers = carried_out({**body, "entry": kept})
        answer["entry"].insert(0, {"response": {"status": "201 Created", "outcome": COMPLAINT}})
        return status, answer, headers

    server._bundle = complaining  # type: ignore[method-assign]
    server.entry_fault = lambda one: "422" if one["id"] == results[0]["id"] else None
    tally = write(server, run_folder(tmp_path / "run", results))
    assert (tally.written, tally.failed, tally.listed[0].line) == (len(results) - 1, 1, 1)


@pytest.mark.proves("D34", "a search that tells of an error found nothing that counts; a retraction waits for the next")
def test_a_search_that_broke_off_loses_no_retraction(tmp_path: Path) -> None:
    server, results = shelf(), assessments()
    write(server, run_folder(tmp_path / "first", results))
    page = {"resourceType": "Bundle", "entry": [{"search": {"mode": "outcome"}, "resource": COMPLAINT}]}
    server.fault = lambda _number, _method, path: JSONResponse(page) if path == "RiskAssessment" else None
    folder = run_folder(tmp_path / "second", [], [retracted(results[0])])
    lost = write(server, folder)
    assert (lost.became["nothing there"], lost.untried, "to the end" in str(lost.stopped)) == (0, 1, True)
    server.fault = lambda *_: None
    assert write(server, folder).became["retracted"] == 1


@pytest.mark.proves("D34", "a retraction whose result the search does not find is read by id before it counts as done")
def test_a_retraction_that_no_search_finds_is_read_by_its_id(tmp_path: Path) -> None:
    server, results = shelf(), assessments()
    write(server, run_folder(tmp_path / "first", results))
    empty = {"resourceType": "Bundle", "entry": []}
    server.fault = lambda _number, _method, path: JSONResponse(empty) if path == "RiskAssessment" else None
    never = {**retracted(results[1]), "id": "never-written"}
    tally = write(server, run_folder(tmp_path / "second", [], [retracted(results[0]), never]))
    assert (tally.became["retracted"], tally.became["nothing there"], tally.clean) == (1, 1, True)
    assert server.kept["RiskAssessment"][results[0]["id"]]["status"] == "entered-in-error"


@pytest.mark.proves("B28", "a patient who was removed holds up no retraction, neither theirs alone nor among results")
@pytest.mark.parametrize("others", [False, True], ids=["alone", "among-results"])
def test_the_result_of_a_removed_patient_is_retracted(tmp_path: Path, others: bool) -> None:
    server, results = shelf(), assessments()
    write(server, run_folder(tmp_path / "first", results))
    del server.kept["Patient"][results[0]["subject"]["reference"].removeprefix("Patient/")]
    tally = write(server, run_folder(tmp_path / "second", results[1:] if others else [], [retracted(results[0])]))
    assert (tally.became["retracted"], tally.clean) == (1, True)
