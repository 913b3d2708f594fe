"""An export holds what was asked for: what was not is no absence, and what changed is not everything."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cds.batch.asked import Asked, as_of, refuse_gap
from cds.batch.finding import find_export
from cds.bulk.kickoff import ExportRequest
from cds.cli.export_request import asked_for
from cds.errors import RequestError
from cds.site import SiteRecipe, recipe
from tests.batch.runs import KFRE, plan, run, whole, write
from tests.cli.command import bedside

MELD: SiteRecipe = recipe(["meld-3"])
BOTH: SiteRecipe = recipe(["kfre-4", "meld-3"], region="north-america")
REGION = ("--region", "north-america", "--at", "2026-11-22")


def asked(models: str = "kfre-4", *, codes: bool = False, types: list[str] | None = None, **more: Any) -> ExportRequest:
    """What `bedside export` asks for with these options."""
    options = {"since": None, "until": None, "filters": None, "patients": None, "rest": {}} | more
    return asked_for(None, "patient", None, models, types, filter_codes=codes, **options)


def exported(
    folder: Path, request: ExportRequest, lines: list[Any] | None = None, when: str = "2026-11-22T10:00:00Z"
) -> Path:
    """A folder as `bedside export` leaves it."""
    path = write(folder / "Patient.0001.ndjson", whole("a") if lines is None else lines)
    kept = {"bytes": path.stat().st_size, "sha256": "", "lines": 1}
    files = [{"name": path.name, "type": "ByPatient", "kept": kept}]
    record = {"state": "complete", "files": files, "request": request.told(), "transaction_time": when}
    (folder / "export.json").write_text(json.dumps(record))
    (folder / "log.ndjson").write_text('{"eventId":"kickoff"}\n')
    return folder


@pytest.mark.proves(
    "B1", "an export of one model's types is not scored by another that reads more: what lacks is named"
)
def test_types_that_were_not_asked_for_are_not_absent(tmp_path: Path) -> None:
    folder = exported(tmp_path / "in", asked())
    assert plan(folder).models[0].id == "kfre-4"
    with pytest.raises(RequestError, match=r"not asked for MedicationRequest, MedicationStatement, Medication, which"):
        plan(folder, of=BOTH)
    assert plan(exported(tmp_path / "all", asked("kfre-4,meld-3")), of=BOTH).models[1].id == "meld-3"


def test_what_one_export_lacks_another_may_bring(tmp_path: Path) -> None:
    first = exported(tmp_path / "first", asked())
    rest = exported(tmp_path / "rest", asked(types=["MedicationRequest", "MedicationStatement", "Medication"]), [])
    unknown = write(tmp_path / "theirs" / "MedicationRequest.ndjson", [])
    assert len(plan(first, rest, of=BOTH).export.files) == 2
    assert len(plan(first, unknown, of=BOTH).export.files) == 2


@pytest.mark.proves("B5", "an export of some codes is scored by models that read no others")
def test_codes_that_were_not_asked_for_are_not_absent(tmp_path: Path) -> None:
    narrow = exported(tmp_path / "narrow", asked(codes=True))
    plan(narrow)
    eight = recipe(["kfre-8"], region="north-america")
    with pytest.raises(RequestError, match="some codes of Observation, and these models read others"):
        plan(narrow, of=eight)
    plan(exported(tmp_path / "wide", asked("kfre-8,kfre-4", codes=True)), of=eight)
    plan(narrow, exported(tmp_path / "all", asked("kfre-8")), of=eight)


def test_what_the_user_left_out_is_said(tmp_path: Path) -> None:
    request = asked(filters=["Observation?status=final"], codes=False)
    told = run(exported(tmp_path / "in", request), out=tmp_path / "out")["export"]
    assert told["narrowed"] == ["_typeFilter=Observation?status=…"]
    done = bedside("score", str(tmp_path / "in"), *REGION, "--out", str(tmp_path / "again"))
    assert "the export was asked for less by _typeFilter=Observation?status=…: what that left out" in done.stderr


def test_what_was_not_found_is_said_of_a_whole_export_and_not_of_changes(tmp_path: Path) -> None:
    first = run(exported(tmp_path / "in", asked()), out=tmp_path / "out")["export"]
    assert first["not_found"] == ["Condition", "Procedure", "Encounter"]
    changes = exported(tmp_path / "more", asked(since="2026-11-22T09:00:00Z"), [])
    assert run(changes, out=tmp_path / "next", prior=tmp_path / "out")["export"]["not_found"] == []


def test_changes_alone_are_not_everything(tmp_path: Path) -> None:
    changes = exported(tmp_path / "in", asked(since="2026-11-22T09:00:00Z"))
    with pytest.raises(RequestError, match=r"only what changed since 2026-11-22T09:00:00\+00:00: give --prior"):
        plan(changes)
    plan(changes, exported(tmp_path / "all", asked()))
    done = bedside("score", str(changes), *REGION)
    assert (done.returncode, done.stdout) == (2, "")
    assert "only what changed since" in done.stderr


@pytest.mark.proves("B15", "changes that begin after the data of the run before end are refused: a night would be lost")
def test_no_night_between_two_runs_is_lost(tmp_path: Path) -> None:
    run(exported(tmp_path / "sunday", asked(), when="2026-11-21T02:00:00Z"), out=tmp_path / "out")
    gap = exported(tmp_path / "tuesday", asked(since="2026-11-21T02:00:01Z"), [])
    with pytest.raises(RequestError, match=r"in between is in neither.*--since 2026-11-21T02:00:00Z"):
        run(gap, out=tmp_path / "next", prior=tmp_path / "out")
    assert not (tmp_path / "next" / "run.json").exists()
    close = exported(tmp_path / "monday", asked(since="2026-11-21T02:00:00Z"), [])
    assert run(close, out=tmp_path / "next", prior=tmp_path / "out")["patients"] == 1


@pytest.mark.proves("B15", "several nights at once follow each other without a gap, and the last of them is the end")
def test_several_nights_in_one_run_follow_each_other(tmp_path: Path) -> None:
    def night(day: int, lines: list[Any] | None = None) -> Path:
        since = f"2026-11-{day - 1:02}T02:00:00Z"
        return exported(tmp_path / str(day), asked(since=since), lines or [], f"2026-11-{day:02}T02:00:00Z")

    whole_one = exported(tmp_path / "whole", asked(), when="2026-11-01T02:00:00Z")
    run(whole_one, out=tmp_path / "out")
    with pytest.raises(RequestError, match="in between is in neither"):
        run(night(2), night(4), out=tmp_path / "gap", prior=tmp_path / "out")
    told = run(night(3), night(2), out=tmp_path / "next", prior=tmp_path / "out")
    assert told["export"]["transaction_time"] == "2026-11-03T02:00:00Z"
    assert run(night(4), out=tmp_path / "after", prior=tmp_path / "next")["patients"] == 1
    with pytest.raises(RequestError, match="in between is in neither"):
        plan(whole_one, night(3))
    assert plan(whole_one, night(2)).export.as_of == "2026-11-02T02:00:00Z"


def part(
    since: int | None, end: int | None, *, types: tuple[str, ...] = ("Patient", "Observation"), surely: bool = True
) -> Asked:
    """An export of these days of a month."""
    return Asked(types, since=day(since), as_of=day(end), surely=surely)


def day(number: int | None) -> str | None:
    return f"2026-11-{number:02}T02:00:00Z" if number else None


A, B = ("Patient", "Observation"), ("Condition",)
WHOLE, NIGHT, NEXT = part(None, 1), part(1, 2), part(2, 3)


@pytest.mark.parametrize(
    ("parts", "before", "end"),
    [
        ([WHOLE], None, 1),
        ([part(None, 1, types=A), part(None, 3, types=B)], None, 1),
        ([NEXT, WHOLE, NIGHT], None, 3),
        ([NIGHT], 1, 2),
        ([NEXT, NIGHT], 1, 3),
        ([NIGHT], 5, 2),
        ([part(None, 5), NIGHT], None, 5),
        ([part(None, 5), part(5, 6)], 1, 6),
        ([part(1, 2, types=A), part(1, 3, types=B)], 1, 2),
        ([part(1, None), part(2, 3)], 1, None),
        ([part(None, None), part(5, 6)], 1, 6),
        ([part(4, 5, surely=False)], 1, None),
        ([NEXT, None], 1, None),
        ([None], None, None),
    ],
)
def test_what_follows_without_a_gap_is_one(parts: list[Asked | None], before: int | None, end: int | None) -> None:
    refuse_gap(parts, day(before), alone=before is None)
    assert end is None or as_of(parts) == day(end)
    refuse_gap(parts, None, alone=False)  # of a run before that does not say its end


@pytest.mark.parametrize(
    ("parts", "before"),
    [
        ([NEXT], 1),
        ([WHOLE, NEXT], None),
        ([NIGHT, part(3, 4)], 1),
        ([NIGHT, part(2, 3, types=B), part(3, 4)], 1),
        ([part(1, 2, types=A), part(1, 2, types=B), part(2, 3, types=B), part(3, 4, types=A)], 1),
    ],
)
def test_a_gap_of_any_type_is_one(parts: list[Asked | None], before: int | None) -> None:
    with pytest.raises(RequestError, match="in between is in neither"):
        refuse_gap(parts, day(before), alone=before is None)


def test_an_export_up_to_an_instant_ends_there(tmp_path: Path) -> None:
    folder = exported(tmp_path / "in", asked(until="2026-11-10T00:00:00Z"))
    assert find_export([str(folder)]).as_of == "2026-11-10T00:00:00+00:00"
    text = json.loads((folder / "export.json").read_text())
    whole_record = {"export_id": "x", "base": "b", "request_digest": "", "began": "2026-11-21T00:00:00Z"} | text
    (folder / "export.json").write_text(json.dumps(whole_record | {"files": []}))
    assert asked(since=str(folder)).since == datetime(2026, 11, 10, tzinfo=UTC)


def test_an_adopted_export_of_changes_is_not_everything(tmp_path: Path) -> None:
    folder = exported(tmp_path / "in", asked(since="2026-11-22T09:00:00Z"))
    said = json.loads((folder / "export.json").read_text()) | {"adopted": True}
    (folder / "export.json").write_text(json.dumps(said))
    with pytest.raises(RequestError, match="only what changed since"):
        plan(folder)


def test_without_out_a_gap_is_one_too(tmp_path: Path) -> None:
    first = exported(tmp_path / "first", asked(), when="2026-11-01T02:00:00Z")
    later = exported(tmp_path / "later", asked(since="2026-11-02T02:00:00Z"), [])
    done = bedside("score", str(first), str(later), *REGION)
    assert (done.returncode, done.stdout) == (2, "")
    assert "in between is in neither" in done.stderr


@pytest.mark.parametrize("when", ["2026-11-21T02:00:00", "2026-11-21", "the day before"])
def test_of_a_time_that_is_no_instant_nobody_can_say(tmp_path: Path, when: str) -> None:
    run(exported(tmp_path / "first", asked(), when=when), out=tmp_path / "out")
    changes = exported(tmp_path / "next", asked(since="2026-11-22T02:00:00Z"), [])
    assert run(changes, out=tmp_path / "again", prior=tmp_path / "out")["patients"] == 1
    (tmp_path / "first" / "export.json").write_bytes(
        json.dumps({
            "state": "complete", "export_id": "x", "base": "b", "request": {}, "request_digest": "",
            "began": "2026-11-21T00:00:00Z", "transaction_time": when,
        }).encode()
    )  # fmt: skip
    if when == "2026-11-21":
        assert asked(since=str(tmp_path / "first")).since == datetime(2026, 11, 21, tzinfo=UTC)
        return
    with pytest.raises(RequestError, match="no instant with an offset: give one"):
        asked(since=str(tmp_path / "first"))


def test_what_somebody_else_began_may_hold_more_than_was_asked_for_here(tmp_path: Path) -> None:
    folder = exported(tmp_path / "in", asked())
    said = json.loads((folder / "export.json").read_text()) | {"adopted": True}
    (folder / "export.json").write_text(json.dumps(said))
    assert run(folder, out=tmp_path / "out", of=MELD)["export"]["not_found"] != []
    assert bedside("score", str(folder), *REGION, "--models", "meld-3").returncode == 0


def test_a_filter_of_the_users_own_is_said_beside_those_of_the_codes(tmp_path: Path) -> None:
    own = ["Observation?category=laboratory", "Encounter?date=ge2020,le2021"]
    for commas in (False, True):
        request = asked(codes=True, filters=own, rest={"commas": commas})
        told = find_export([str(exported(tmp_path / str(commas), request))]).asked[0]
        assert told is not None
        assert told.narrowed == ("_typeFilter=Encounter?date=…",)


def test_the_same_export_has_the_same_digest_however_its_codes_are_kept() -> None:
    now = asked(codes=True)
    [derived] = [value for name, value in now.parameters() if name == "_typeFilter"]
    assert now.digest() == msgspec.structs.replace(now, codes={}, type_filters=(derived.replace("%2C", ","),)).digest()


def test_a_bundle_of_that_name_is_read_as_a_bundle(tmp_path: Path) -> None:
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": one} for one in whole("a")]}
    (tmp_path / "export.json").write_text(json.dumps(bundle))
    done = bedside("score", str(tmp_path), *REGION)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "1 scored, 0 not scored.")


def test_an_export_without_a_word_of_what_was_asked_is_read_as_it_is(tmp_path: Path) -> None:
    write(tmp_path / "in" / "x.ndjson", whole("a"))
    assert find_export([str(tmp_path / "in")]).asked == (None,)
    assert run(tmp_path / "in", out=tmp_path / "out", of=MELD)["export"]["not_found"] != []


def test_without_out_the_same_is_refused_and_the_record_is_no_data(tmp_path: Path) -> None:
    folder = exported(tmp_path / "in", asked())
    done = bedside("score", str(folder), *REGION)
    assert (done.returncode, done.stderr) == (0, "")
    other = bedside("score", str(folder), *REGION, "--models", "meld-3")
    assert (other.returncode, other.stdout) == (2, "")
    assert "was not asked for MedicationRequest" in other.stderr
    checked = bedside("check", str(folder))
    assert (checked.returncode, checked.stderr) == (0, "")
    text = (folder / "export.json").read_text().replace('"complete"', '"running"')
    (folder / "export.json").write_text(text)
    for command in (("score", str(folder), *REGION), ("check", str(folder))):
        half = bedside(*command)
        assert (half.returncode, half.stdout) == (1, "")
        assert "this export is not complete" in half.stderr


def test_the_recipe_of_kfre_is_what_the_export_asks_for_by_default() -> None:
    assert set(asked().types) == {need.resource_type for need in KFRE().needs}
