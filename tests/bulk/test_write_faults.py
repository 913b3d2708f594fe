"""What servers do on bad days doubles nothing, loses nothing, and is told line by line."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fhir.resources.R4B.provenance import Provenance
from starlette.responses import JSONResponse, Response

from cds.bulk.capability import read_abilities
from cds.bulk.run_folder import OWN_ID_SYSTEM
from cds.bulk.tally import Tally
from cds.bulk.target import NoAccess, Patience, Target, retry_after
from cds.bulk.write_back import Wanted, write_back
from cds.errors import DataUnavailable, UnsafeToWrite
from cds.fhir.http import open_http
from tests.bulk.runs import assessments, charts, many, retracted, run_folder
from tests.bulk.shelf import Shelf, statement
from tests.ehr.running import running

Json = dict[str, Any]
QUICK = Patience(tries=4, first=0.001, longest=0.002)


def shelf(**stated: Any) -> Shelf:
    return Shelf(**stated).hold(charts())


def write(server: Shelf, folder: Path, **wanted: Any) -> Tally:
    with running(server.app, server.port) as origin:
        tally = asyncio.run(write_back(folder, origin, NoAccess(), Wanted(patience=QUICK, **wanted)))
    said = tally.told()
    assert said["lines"] == said["written"] + said["unchanged"] + said["changed_there"] + said["failed"]
    return tally


def written_once(server: Shelf) -> bool:
    return set(server.writes.values()) == {1}


@pytest.mark.proves("D34", "conditional create by identifier where ids cannot be given; a second run writes nothing")
@pytest.mark.parametrize("bundles", [True, False], ids=["bundles", "one-by-one"])
@pytest.mark.parametrize("provenance", ["conditional", "put", None])
def test_conditional_create_where_the_server_gives_the_ids(
    tmp_path: Path, bundles: bool, provenance: str | None
) -> None:
    server, results = shelf(road="conditional", provenance=provenance, bundles=bundles), assessments()
    folder = run_folder(tmp_path / "run", results)
    first = write(server, folder)
    assert first.clean
    assert first.became["created"] == len(results) == len(server.kept["RiskAssessment"])
    assert not {one["id"] for one in results} & set(server.kept["RiskAssessment"])
    assert first.provenance["written" if provenance else "not taken"] == len(results)
    told = server.shown("Provenance").values()
    assert {one["target"][0]["reference"] for one in told} == (
        {f"RiskAssessment/{id_}" for id_ in server.kept["RiskAssessment"]} if provenance else set()
    )
    for one in told:
        Provenance.model_validate(one)
    assert write(server, folder).unchanged == len(results)
    assert written_once(server)


def sent(result: Json) -> Json:
    """As it goes to a server that gives the ids."""
    return {**result, "identifier": [*result["identifier"], {"system": OWN_ID_SYSTEM, "value": result["id"]}]}


@pytest.mark.proves("D34", "the next month's equal numbers are a result of their own: the older stays final, unchanged")
@pytest.mark.parametrize("wanted", [{}, {"overwrite": True}], ids=["plain", "overwrite"])
def test_equal_numbers_of_another_instant_are_another_result(tmp_path: Path, wanted: Json) -> None:
    server, results = shelf(road="conditional"), assessments()
    write(server, run_folder(tmp_path / "november", results))
    november = dict(server.kept["RiskAssessment"])
    later = [
        {**one, "id": f"december-{n}", "occurrenceDateTime": "2026-12-22T14:02:00Z"} for n, one in enumerate(results)
    ]
    folder = run_folder(tmp_path / "december", later, finished="2026-12-22T15:00:00Z")
    tally = write(server, folder, **wanted)
    assert (tally.clean, tally.became["created"]) == (True, len(results))
    assert {**server.kept["RiskAssessment"], **november} == server.kept["RiskAssessment"]
    assert (len(server.kept["RiskAssessment"]), {one["status"] for one in november.values()}) == (
        2 * len(results),
        {"final"},
    )
    assert write(server, folder, **wanted).unchanged == len(results)
    assert {one["identifier"][0]["value"] for one in november.values()} == {
        one["identifier"][0]["value"] for one in server.kept["RiskAssessment"].values()
    }


@pytest.mark.proves("D34", "a retraction finds what was written by its identifier, and keeps the server's own id")
def test_a_retraction_goes_to_the_id_that_the_server_gave(tmp_path: Path) -> None:
    server, results = shelf(road="conditional"), assessments()
    write(server, run_folder(tmp_path / "first", results[1:]))
    tally = write(server, run_folder(tmp_path / "second", [], [retracted(one) for one in results[:2]]))
    assert (tally.became["retracted"], tally.became["nothing there"]) == (1, 1)
    (gone,) = [one for one in server.shown().values() if one["status"] == "entered-in-error"]
    assert {**gone, "id": results[1]["id"]} == sent(retracted(results[1]))


def test_without_updates_a_retraction_fails_and_says_so(tmp_path: Path) -> None:
    server, results = shelf(road="conditional", updates=False), assessments()
    write(server, run_folder(tmp_path / "first", results))
    tally = write(server, run_folder(tmp_path / "second", results[1:], [retracted(results[0])]))
    assert (tally.failed, tally.listed[0].file, tally.listed[0].line) == (1, "retracted.ndjson", 1)


def test_two_of_one_identifier_are_left_to_somebody(tmp_path: Path) -> None:
    server, results = shelf(road="conditional"), assessments()
    for id_ in ("one", "two"):
        server.kept["RiskAssessment"][id_] = {**sent(results[0]), "id": id_, "meta": {"versionId": "1"}}
    tally = write(server, run_folder(tmp_path / "run", results))
    assert (tally.failed, tally.became["created"]) == (1, len(results) - 1)
    assert "more than one" in tally.listed[0].why


@pytest.mark.proves("B28", "--dry-run sends GET and nothing else, whatever the server can do")
@pytest.mark.parametrize("road", ["put", "conditional"])
@pytest.mark.parametrize("by_id", [True, False], ids=["searched", "read"])
def test_a_dry_run_asks_by_get_alone(tmp_path: Path, road: str, by_id: bool) -> None:
    server, results = shelf(road=road, by_id=by_id), assessments()
    folder = run_folder(tmp_path / "run", results)
    assert write(server, folder, dry_run=True).became["created"] == len(results)
    assert {method for method, _ in server.asked} == {"GET"}
    assert [one.name for one in folder.iterdir() if one.name.startswith("write-")] == []


@pytest.mark.parametrize("stated", [{"bundles": False}, {"by_id": False}, {"bundles": False, "by_id": False}])
def test_without_bundles_or_searches_each_goes_alone(tmp_path: Path, stated: Json) -> None:
    server, results = shelf(**stated), assessments()
    folder = run_folder(tmp_path / "run", results)
    assert write(server, folder).written == len(results)
    assert server.shown() == {one["id"]: one for one in results}
    assert write(server, folder).unchanged == len(results)
    assert written_once(server)


def test_a_server_that_states_bundles_and_takes_none_is_written_to_one_by_one(tmp_path: Path) -> None:
    server, results = shelf(), assessments()
    server.bundles = False
    assert write(server, run_folder(tmp_path / "run", results)).clean
    assert written_once(server)


@pytest.mark.proves("B28", "each entry's own status: 409, 412, 429 and 5xx are tried again, 422 is listed by its line")
@pytest.mark.parametrize("bundles", [True, False], ids=["bundles", "one-by-one"])
def test_each_entry_has_its_own_end(tmp_path: Path, bundles: bool) -> None:
    server, results = shelf(bundles=bundles), many(12)
    passing = dict(zip((one["id"] for one in results[1:6]), ("409", "412", "429", "503", "500"), strict=True))

    def refuse(resource: Json) -> str | None:
        return "422" if resource["id"] == results[0]["id"] else passing.pop(resource["id"], None)

    server.entry_fault = refuse
    tally = write(server, run_folder(tmp_path / "run", results))
    assert (tally.written, tally.failed, passing) == (len(results) - 1, 1, {})
    assert [(one.line, one.status) for one in tally.listed] == [(1, 422)]
    assert written_once(server)
    assert results[0]["id"] not in server.kept["RiskAssessment"]


def test_what_never_passes_is_given_up_and_tried_by_the_next_run(tmp_path: Path) -> None:
    server, results = shelf(), assessments()
    server.entry_fault = lambda resource: "409" if resource["id"] == results[2]["id"] else None
    folder = run_folder(tmp_path / "run", results)
    tally = write(server, folder)
    assert [(one.line, one.status, one.why) for one in tally.listed] == [
        (3, 409, "another version of it kept coming between")
    ]
    server.entry_fault = lambda _resource: None
    assert (write(server, folder).became["created"], written_once(server)) == (1, True)


@pytest.mark.proves("B28", "an answer that is cut off after each write: nothing doubled, on either road")
@pytest.mark.parametrize("road", ["put", "conditional"])
@pytest.mark.parametrize("bundles", [True, False], ids=["bundles", "one-by-one"])
def test_an_answer_that_is_cut_off_doubles_nothing(tmp_path: Path, road: str, bundles: bool) -> None:
    server, results = shelf(road=road, provenance=road, bundles=bundles), assessments()
    seen: set[int] = set()

    def cut(number: int, method: str, path: str) -> bool:
        """Every second write."""
        if method != "GET":
            seen.add(number)
        return method != "GET" and len(seen) % 2 == 1

    server.cut = cut
    tally = write(server, run_folder(tmp_path / "run", results), batch=3)
    assert (tally.written, tally.clean) == (len(results), True)
    assert tally.provenance.total() == len(results)
    assert len(server.kept["RiskAssessment"]) == len(server.kept["Provenance"]) == len(results)
    if road == "conditional":
        assert written_once(server)


def test_a_bundle_answered_with_too_few_entries_is_looked_up_again(tmp_path: Path) -> None:
    server, results = shelf(), assessments()
    whole = server._bundle

    def short(body: Json) -> tuple[int, Json, dict[str, str]]:
        status, answer, headers = whole(body)
        return status, {**answer, "entry": answer["entry"][1:]}, headers

    server._bundle = short  # type: ignore[method-assign]
    tally = write(server, run_folder(tmp_path / "run", results))
    assert (tally.written, len(server.kept["RiskAssessment"])) == (len(results), len(results))


def refusing(status: int, times: int, headers: dict[str, str]) -> Callable[[int, str, str], Response | None]:
    left = iter(range(times))
    return lambda *_: JSONResponse({}, status, headers) if next(left, None) is not None else None


@pytest.mark.parametrize("status", [429, 503, 502, 500])
def test_a_busy_server_is_waited_for(tmp_path: Path, status: int) -> None:
    server = shelf()
    server.fault = refusing(status, 3, {"retry-after": "0"})
    assert write(server, run_folder(tmp_path / "run", assessments())).clean


@pytest.mark.proves("B28", "a server lost in the middle: the rest is counted as failed, and the next run ends it")
def test_a_lost_server_stops_the_run_and_the_next_one_ends_it(tmp_path: Path) -> None:
    server, results = shelf(), many(30)
    folder = run_folder(tmp_path / "run", results)
    server.fault = lambda number, _method, _path: JSONResponse({}, 503) if number > 9 else None
    lost = write(server, folder, batch=5)
    assert lost.stopped == "the FHIR server answered 503"
    assert 0 < lost.written < 30
    assert lost.failed == lost.untried == 30 - lost.written
    server.fault = lambda *_: None
    rest = write(server, folder, batch=5)
    assert (rest.clean, rest.written + lost.written, rest.unchanged) == (True, 30, lost.written)
    assert len(server.kept["Provenance"]) == 30
    assert written_once(server)


@pytest.mark.proves("B28", "a Provenance that was cut off is told by the next run, and only that one")
def test_a_provenance_that_is_owed_is_told_later(tmp_path: Path) -> None:
    server, results = shelf(), assessments()
    folder = run_folder(tmp_path / "run", results)
    server.entry_fault = lambda one: "403" if one["resourceType"] == "Provenance" else None
    first = write(server, folder)
    assert (first.written, first.provenance["failed"], first.clean) == (len(results), len(results), False)
    server.entry_fault = lambda _one: None
    second = write(server, folder)
    assert (second.unchanged, second.provenance["written"]) == (len(results), len(results))
    third = write(server, folder)
    assert third.provenance.total() == 0
    assert written_once(server)


@pytest.mark.proves("B28", "a kill after the send, on a server that adds identifiers: ours, and its Provenance is told")
@pytest.mark.parametrize("road", ["put", "conditional"])
def test_what_a_kill_left_unheard_is_known_again(tmp_path: Path, road: str) -> None:
    server, results = shelf(road=road), assessments()
    folder = run_folder(tmp_path / "run", results)
    write(server, folder, provenance=False)
    (progress,) = folder.glob("write-*.jsonl")
    sends = [line for line in progress.read_text().splitlines(keepends=True) if '"did":"sent"' in line]
    progress.write_text("".join(sends))
    for one in server.kept["RiskAssessment"].values():
        one["identifier"].append({"system": "urn:theirs", "value": one["id"]})
    touched, *_ = server.kept["RiskAssessment"].values()
    touched["prediction"][0]["probabilityDecimal"] = 0.5
    tally = write(server, folder)
    assert (tally.unchanged, tally.became["changed there"]) == (len(results) - 1, 1)
    assert tally.provenance["written"] == len(results) - 1
    assert "its answer lost" in tally.listed[0].why
    assert written_once(server)


def test_a_server_without_provenance_is_written_without(tmp_path: Path) -> None:
    server, results = shelf(provenance=None), assessments()
    tally = write(server, run_folder(tmp_path / "run", results))
    assert (tally.clean, tally.provenance["not taken"], server.kept["Provenance"]) == (True, len(results), {})


def test_provenance_is_left_out_where_it_is_not_wanted(tmp_path: Path) -> None:
    server, results = shelf(), assessments()
    assert write(server, run_folder(tmp_path / "run", results), provenance=False).clean
    assert (len(server.kept["RiskAssessment"]), server.kept["Provenance"]) == (len(results), {})


@pytest.mark.proves("B28", "a change between the look and the write is not overwritten: If-Match, and another look")
def test_a_change_that_comes_between_is_not_overwritten(tmp_path: Path) -> None:
    server, results = shelf(), assessments()
    folder = run_folder(tmp_path / "run", results)
    write(server, folder)
    late = {**results[0], "note": [{"text": "A result came late."}]}
    run_folder(folder, [late, *results[1:]])
    theirs = {**results[0], "status": "cancelled", "meta": {"versionId": "7"}}

    def come_between(_number: int, method: str, _path: str) -> Response | None:
        if method == "PUT":
            server.kept["RiskAssessment"][late["id"]] = theirs
        return None

    server.fault = come_between
    tally = write(server, folder)
    assert (tally.became["changed there"], tally.written) == (1, 0)
    assert server.kept["RiskAssessment"][late["id"]] == theirs


def test_a_result_that_somebody_saved_from_the_chart_stays_as_it_is(tmp_path: Path) -> None:
    """It is of the instant at which they looked, under its numbers' identifier; the run's stands beside it."""
    server, results = shelf(road="conditional"), assessments()
    saved = {**results[0], "id": "saved", "occurrenceDateTime": "2026-11-20T09:00:00Z", "meta": {"versionId": "1"}}
    server.kept["RiskAssessment"]["saved"] = saved
    tally = write(server, run_folder(tmp_path / "run", results))
    assert (tally.became["created"], tally.clean) == (len(results), True)
    assert server.kept["RiskAssessment"]["saved"] == saved


@pytest.mark.proves("D34", "neither road stated: refused before anything is written, with what is lacking")
@pytest.mark.parametrize(
    ("lacks", "said"),
    [
        (lambda risk: risk.update(updateCreate=False), "no way that can be repeated"),
        (lambda risk: risk.update(interaction=[{"code": "update"}], searchParam=[]), "no way that can be repeated"),
        (lambda risk: risk.update(type="Observation"), "does not say that it stores RiskAssessment"),
        (lambda risk: risk.update(updateCreate=False, conditionalCreate=True, searchParam=[]), "search by identifier"),
    ],
)
def test_a_server_without_either_road_is_refused(lacks: Callable[[Json], None], said: str) -> None:
    document = statement("put", None, bundles=True, by_id=True, updates=True)
    lacks(document["rest"][0]["resource"][1])
    with pytest.raises(UnsafeToWrite, match=said):
        read_abilities(document)


@pytest.mark.parametrize("document", [{}, {"resourceType": "Patient"}, {"rest": 1}])
def test_metadata_that_is_none_is_said_to_be_none(document: Json) -> None:
    with pytest.raises(DataUnavailable, match="CapabilityStatement"):
        read_abilities(document)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7),
        ({"retry-after": "Sun, 22 Nov 2026 14:00:30 GMT", "date": "Sun, 22 Nov 2026 14:00:00 GMT"}, 30),
        ({"retry-after": "Sun, 22 Nov 2026 13:00:00 GMT", "date": "Sun, 22 Nov 2026 14:00:00 GMT"}, 0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "Mon, 01 Jan 99999999999999 00:00:00 GMT", "date": "Sun, 22 Nov 2026 14:00:00 GMT"}, None),
        ({}, None),
    ],
)
def test_a_server_says_when_in_seconds_or_as_a_date(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers) == seconds


@pytest.mark.parametrize(("asked", "slept"), [("3", [3.0]), ("", [0.0005]), ("100000", [])])
async def test_the_pause_is_the_servers_within_patience(asked: str, slept: list[float]) -> None:
    server, pauses = shelf(), []
    server.fault = refusing(429, 1, {"retry-after": asked} if asked else {})

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    with running(server.app) as origin:
        async with open_http() as http:
            target = Target(http, origin, NoAccess(), QUICK, sleep)
            if not slept:
                with pytest.raises(DataUnavailable, match="100000 seconds"):
                    await target.ask("GET", "metadata")
            else:
                assert (await target.ask("GET", "metadata")).status == 200
    assert [round(one, 3) for one in pauses] == pytest.approx(slept, abs=0.001)


def test_nothing_of_a_patient_is_said_or_kept_in_the_progress(tmp_path: Path) -> None:
    server, results = shelf(), assessments()
    server.entry_fault = lambda one: "422" if one["id"] == results[0]["id"] else None
    folder = run_folder(tmp_path / "run", results)
    tally = write(server, folder)
    (progress,) = folder.glob("write-*.jsonl")
    said = json.dumps([one.why for one in tally.listed]) + progress.read_text()
    assert not [patient for patient in charts() if patient in said]
    assert progress.stat().st_mode & 0o077 == 0


def test_a_server_that_ignores_a_search_is_noticed(tmp_path: Path) -> None:
    server, results = shelf(), many(80)
    server.kept["RiskAssessment"] = {one["id"]: {**one, "meta": {"versionId": "1"}} for one in results}
    server.by_id = False
    whole = server._read
    server._read = lambda kind, id_, query: whole(kind, id_, "")  # type: ignore[method-assign]
    tally = write(server, run_folder(tmp_path / "run", results[:5]), check_patients=False)
    assert tally.stopped is not None
    assert "found what was not asked for" in tally.stopped
