"""`bedside audit` tells whether the ledger is whole, where its chains end, and who read whom."""

import asyncio
import json
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import pytest
from fhir.resources.R4B.auditevent import AuditEvent

from cds.ledger import AnswerRecord, Event, Keyring, Ledger, ScoreRecord
from cds.ledger.audit_event import line, of_answer, of_event
from cds.ledger.events import Kind
from tests.cli.command import bedside

AT = datetime(2026, 5, 4, 9, 30, 0, 123456, tzinfo=UTC)
SERVER = "https://fhir.example/r4"


def answer(number: int, **changes: Any) -> AnswerRecord:
    score = ScoreRecord("kfre-4", "1.0.0", AT, "risk", None, [{"probability": 0.1}], [{"name": "egfr"}], b"row")
    plain: dict[str, Any] = {
        "id": f"d1577c69-dfbe-44ad-ba6d-{number:012x}", "tenant": "north", "service": "kidney-failure-risk",
        "hook": "patient-view", "hook_instance": "h", "digest": "0" * 64, "patient": f"{SERVER}|Patient/{number % 3}",
        "user": "Practitioner/7", "stage": "live", "status": 200, "kind": "card", "cards": b"[]", "card_ids": (),
        "body": b'{"cards":[]}', "replay_key": None, "latency_us": 1, "recorded_at": AT + timedelta(days=number),
        "scores": (score,),
    }  # fmt: skip
    return AnswerRecord(**plain | changes)


def event(kind: Any, **changes: Any) -> Event:
    plain: dict[str, Any] = {
        "tenant": "north", "at": AT, "outcome": "success", "who": None, "patient": None, "detail": {},
    }  # fmt: skip
    return Event(kind, **plain | changes)


@pytest.fixture
def recorded(tmp_path: Path) -> dict[str, str]:
    url, keyring = f"sqlite:///{tmp_path / 'ledger.sqlite'}", Keyring.generate()
    with Ledger.open(url, keyring, create=True, deadline=15.0) as ledger:

        async def write() -> None:
            for number in range(6):
                await ledger.record(answer(number))
            await ledger.note(event("token-refused", outcome="refused", tenant="south"))

        asyncio.run(write())
    return {"BEDSIDE_LEDGER": url, "BEDSIDE_LEDGER_KEY": keyring.text()}


def _sql(recorded: dict[str, str], *statements: str) -> None:
    database = sqlite3.connect(recorded["BEDSIDE_LEDGER"].removeprefix("sqlite:///"))
    for statement in statements:
        database.execute(statement)
    database.commit()
    database.close()


def test_a_whole_ledger_is_told_by_tenant(recorded: dict[str, str]) -> None:
    done = bedside("audit", "verify", **recorded)
    assert done.stdout.splitlines() == [
        "north: whole: 7 links, 7 rows, 0 purged",
        "south: whole: 2 links, 2 rows, 0 purged",
    ]
    assert done.returncode == 0
    assert "--head" in done.stderr


def test_the_first_broken_place_is_named_without_a_patient(recorded: dict[str, str]) -> None:
    _sql(recorded, "UPDATE answers SET kind = 'nothing' WHERE seq = 3")
    done = bedside("audit", "verify", **recorded)
    assert done.returncode == 1
    assert "north: broken at 4 (answer): its row was altered" in done.stdout
    assert "south: whole" in done.stdout
    assert "Patient" not in done.stdout + done.stderr


@pytest.mark.proves("R36", "a cut-off tail passes without the kept head and is found with it")
def test_a_kept_head_shows_that_the_tail_was_cut_off(recorded: dict[str, str], tmp_path: Path) -> None:
    kept = tmp_path / "heads.ndjson"
    for _ in range(2):
        assert bedside("audit", "head", "--out", str(kept), **recorded).returncode == 0
    assert [(head["tenant"], head["n"]) for head in map(json.loads, kept.read_text().splitlines())] == [
        ("north", 7), ("south", 2), ("north", 7), ("south", 2)
    ]  # fmt: skip
    assert bedside("audit", "verify", "--head", str(kept), **recorded).returncode == 0
    _sql(
        recorded,
        "DELETE FROM scores WHERE answer = 6",
        "DELETE FROM answers WHERE seq = 6",
        "DELETE FROM links WHERE tenant = 'north' AND n = 7",
        "UPDATE heads SET n = 6, mac = (SELECT mac FROM links WHERE tenant = 'north' AND n = 6) WHERE tenant = 'north'",
    )
    assert bedside("audit", "verify", **recorded).returncode == 0, "nobody can tell"
    done = bedside("audit", "verify", "--head", str(kept), **recorded)
    assert (done.returncode, done.stderr) == (1, "")
    assert "north: broken at 7 (link): the chain ends before link 7, which was anchored" in done.stdout


def test_a_kept_head_that_was_altered_is_refused(recorded: dict[str, str], tmp_path: Path) -> None:
    kept = tmp_path / "heads.ndjson"
    kept.write_text(bedside("audit", "head", **recorded).stdout.replace('"n":7', '"n":6'))
    done = bedside("audit", "verify", "--head", str(kept), **recorded)
    assert done.returncode == 1
    assert "line 1 is not signed with this ledger's key" in done.stderr
    assert bedside("audit", "verify", "--head", str(tmp_path / "none"), **recorded).returncode == 2


def test_a_file_without_a_head_compares_nothing_and_fails(recorded: dict[str, str], tmp_path: Path) -> None:
    kept = tmp_path / "heads.ndjson"
    for text in ("", "\n", '{"tenant":"nor'):
        kept.write_text(text)
        done = bedside("audit", "verify", "--head", str(kept), **recorded)
        assert done.returncode == 1
        assert "there is no head in it" in done.stderr


def test_a_tenant_without_a_kept_head_is_warned_of(recorded: dict[str, str], tmp_path: Path) -> None:
    kept = tmp_path / "heads.ndjson"
    kept.write_text(bedside("audit", "head", **recorded).stdout.splitlines()[0] + "\n")
    done = bedside("audit", "verify", "--head", str(kept), **recorded)
    assert done.returncode == 0
    assert done.stderr.startswith("south: ")
    assert done.stderr.count("holds no head of its chain") == 1


def test_a_line_that_was_torn_off_harms_no_other(recorded: dict[str, str], tmp_path: Path) -> None:
    kept = tmp_path / "heads.ndjson"
    assert bedside("audit", "head", "--out", str(kept), **recorded).returncode == 0
    whole = kept.read_bytes()
    for torn in (whole[:-1], whole[:-2], whole[:-150]):
        kept.write_bytes(torn)
        assert bedside("audit", "head", "--out", str(kept), **recorded).returncode == 0
        done = bedside("audit", "verify", "--head", str(kept), **recorded)
        assert done.returncode == 0, done.stderr
        said = "" if torn == whole[:-1] else f"{kept}: line 2 was torn off when it was written, and is passed over.\n"
        assert done.stderr == said
    kept.write_bytes(whole.replace(b'"tenant":"south"', b'"tenant":"salt"'))
    assert "line 2 is not signed" in bedside("audit", "verify", "--head", str(kept), **recorded).stderr


def _exported(recorded: dict[str, str], *arguments: str) -> list[dict[str, Any]]:
    done = bedside("audit", "export", *arguments, **recorded)
    assert done.returncode == 0, done.stderr
    return [json.loads(said) for said in done.stdout.splitlines()]


def _subjects(found: dict[str, Any]) -> list[str]:
    return [e["what"]["reference"] for e in found["entity"] if e["role"]["code"] == "1"]


@pytest.mark.proves("R37", "11 of 11 exported AuditEvents validate; an answer has exactly one patient entity")
def test_the_export_is_fhir_and_is_itself_recorded(recorded: dict[str, str]) -> None:
    found = _exported(recorded)
    for one in found:
        AuditEvent.model_validate(one)
    answers = [one for one in found if one["subtype"][-1]["code"] == "patient-view"]
    assert [_subjects(one) for one in answers] == [[f"{SERVER}/Patient/{number % 3}"] for number in range(6)]
    assert len(answers[0]["entity"]) == 2
    assert {"type": "model", "valueString": "kfre-4 1.0.0: risk"} in answers[0]["entity"][1]["detail"]
    assert answers[0]["entity"][1]["what"]["identifier"]["value"] == answers[0]["id"]
    person = answers[0]["agent"][-1]
    assert (person["who"]["reference"], person["requestor"]) == (f"{SERVER}/Practitioner/7", True)
    kinds = [one["subtype"][-1]["code"] for one in found if one not in answers]
    assert sorted(kinds) == ["audit-read", "audit-read", "chain-begins", "chain-begins", "token-refused"]
    again = _exported(recorded)
    assert len(again) == 13, "the export before stands in both chains"
    assert bedside("audit", "verify", **recorded).returncode == 0


def test_the_export_keeps_to_its_patient_and_its_days(recorded: dict[str, str]) -> None:
    for name in ("1", "Patient/1", f"{SERVER}/Patient/1", f"{SERVER}|Patient/1"):
        found = [one for one in _exported(recorded, "--patient", name) if one["subtype"][-1]["code"] == "patient-view"]
        assert [_subjects(one) for one in found] == [[f"{SERVER}/Patient/1"]] * 2
    for since in ("2026-05-05T00:00:00Z", "2026-05-05"):
        days = _exported(recorded, "--since", since, "--until", "2026-05-06")
        assert [one["recorded"] for one in days] == ["2026-05-05T09:30:00.123456Z", "2026-05-06T09:30:00.123456Z"]
    assert _exported(recorded, "--since", "2026-05-10", "--until", "2026-05-11") == []


@pytest.mark.parametrize("name", ["", "Observation/1", "Patient/", "Patient/1/_history/2", "a b", "Patient/1 2"])
def test_what_can_be_no_patients_name_is_refused_and_not_written_down(recorded: dict[str, str], name: str) -> None:
    done = bedside("audit", "export", "--patient", name, **recorded)
    assert (done.returncode, done.stdout) == (2, "")
    assert "write Patient/ID" in done.stderr
    kinds = [one["subtype"][-1]["code"] for one in _exported(recorded)]
    assert kinds.count("audit-read") == 2, "of this export alone, in both chains"


@pytest.mark.proves("R37", "every kind of event, with and without person and patient, and 4 answers: all validate")
@pytest.mark.proves("R38", "15 kinds of event can be noted and told")
def test_every_kind_of_event_is_fhir() -> None:
    made = [
        of_event(event(kind, id=f"e-{number}", outcome=outcome, who=who, patient=patient, detail=detail))
        for number, kind in enumerate(get_args(Kind))
        for outcome in ("success", "refused", "failed")
        for who in (None, "Practitioner/7", "somebody")
        for patient in (None, "Patient/1", f"{SERVER}|Patient/1")
        for detail in ({}, {"service": "kidney-failure-risk", "empty": ""})
    ]
    made += [of_answer(answer(1, **changes)) for changes in ({}, {"user": None}, {"status": 412}, {"status": 500})]
    assert len(get_args(Kind)) == 15
    for one in made:
        checked = AuditEvent.model_validate_json(line(one))
        assert sum(bool(agent.requestor) for agent in checked.agent) == 1
        assert len(_subjects(json.loads(line(one)))) <= 1
    assert {one["outcome"] for one in made[-4:]} == {"0", "4", "8"}


def test_an_event_without_a_patient_claims_no_patients_profile() -> None:
    with_, without = (of_event(event("page-view", id="e", patient=name)) for name in ("Patient/1", None))
    assert "meta" in with_
    assert "meta" not in without
