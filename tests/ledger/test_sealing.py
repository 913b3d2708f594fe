"""A stolen database names nobody, and no value opens outside its row or without its key (D26)."""

import asyncio
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cds.errors import LedgerSealed, SiteError
from cds.ledger import AnswerRecord, Event, FeedbackRecord, Keyring, Ledger, ScoreRecord

Make = Callable[..., AnswerRecord]
Rows = Callable[[str], list[Any]]

CANARIES = {
    "patient": "canary-patient-7f3a",
    "user": "canary-user-91bc",
    "card": "canary-card-text-55de",
    "body": "canary-body-e210",
    "resource": "canary-observation-08c4",
    "comment": "canary-comment-b77d",
    "display": "canary-display-4e19",
    "detail": "canary-detail-a3c6",
}


@pytest.mark.proves("R29", "20 answers with feedback and events: 0 canaries in any byte of the database")
def test_d26_a_stolen_database_names_nobody(
    sqlite_url: str,
    keyring: Keyring,
    an_answer: Make,
    a_score: Callable[..., ScoreRecord],
    a_feedback: Callable[..., FeedbackRecord],
    tmp_path: Path,
) -> None:
    ledger = Ledger.open(sqlite_url, keyring, create=True, deadline=15.0)
    for number in range(20):
        answer = an_answer(
            patient=f"https://fhir.example/r4|Patient/{CANARIES['patient']}-{number}",
            user=CANARIES["user"],
            cards=CANARIES["card"].encode(),
            body=CANARIES["body"].encode(),
            scores=(a_score(row=f"Observation/{CANARIES['resource']}".encode()),),
            replay_key=f"k{number}",
        )
        asyncio.run(ledger.record(answer))
        told = a_feedback(answer.card_ids[0], comment=CANARIES["comment"], reason_display=CANARIES["display"])
        asyncio.run(ledger.feedback([told]))
        read = Event(
            "page-view", "clinic", answer.recorded_at, "success", CANARIES["user"], answer.patient,
            {"words": CANARIES["detail"]},
        )  # fmt: skip
        asyncio.run(ledger.note(read))
    stolen = b"".join(path.read_bytes() for path in sorted(tmp_path.glob("ledger.db*")))  # the WAL is among them
    assert list(tmp_path.glob("ledger.db-wal"))
    assert b"kfre-4" in stolen, "the scan must see what is in the clear"
    ledger.close()
    stolen += (tmp_path / "ledger.db").read_bytes()
    assert [name for name, canary in CANARIES.items() if canary.encode() in stolen] == []


def test_the_database_file_is_its_owners_alone(
    sqlite_url: str, keyring: Keyring, an_answer: Make, tmp_path: Path
) -> None:
    with Ledger.open(sqlite_url, keyring, create=True, deadline=15.0) as ledger:
        asyncio.run(ledger.record(an_answer()))
        assert {path.stat().st_mode & 0o077 for path in tmp_path.glob("ledger.db*")} == {0}


def test_one_patients_answers_share_a_pseudonym_within_a_tenant(ledger: Ledger, an_answer: Make, rows: Rows) -> None:
    for tenant, patient in (("a", "p"), ("a", "p"), ("a", "q"), ("b", "p")):
        asyncio.run(ledger.record(an_answer(tenant=tenant, patient=patient)))
    first, second, other, elsewhere = (name for (name,) in rows("SELECT patient FROM answers ORDER BY seq"))
    assert first == second
    assert len({first, other, elsewhere}) == 3
    assert all(re.fullmatch("[0-9a-f]{64}", name) for name in (first, other, elsewhere))


@pytest.mark.parametrize("column", ["sealed", "id", "tenant"])
def test_a_row_that_was_moved_does_not_open(ledger: Ledger, an_answer: Make, rows: Rows, column: str) -> None:
    asyncio.run(ledger.record(an_answer(tenant="a")))
    asyncio.run(ledger.record(an_answer(tenant="b")))
    change = {
        "sealed": "sealed = (SELECT sealed FROM answers WHERE tenant = 'b')",
        "id": "id = 'f0000000-0000-4000-8000-000000000000'",
        "tenant": "tenant = 'c'",
    }[column]
    rows(f"UPDATE answers SET {change} WHERE tenant = 'a'")
    with pytest.raises(LedgerSealed, match="altered or moved"):
        list(ledger.answers())


def test_every_flipped_bit_is_noticed(keyring: Keyring) -> None:
    sealed = keyring.seal(b"a few words", b"row 1")
    assert keyring.open(sealed, b"row 1") == b"a few words"
    for bit in range(len(sealed) * 8):
        altered = bytearray(sealed)
        altered[bit // 8] ^= 1 << bit % 8
        with pytest.raises(LedgerSealed):
            keyring.open(bytes(altered), b"row 1")
    for cut in range(len(sealed)):
        with pytest.raises(LedgerSealed):
            keyring.open(sealed[:cut], b"row 1")


def test_another_key_opens_nothing_and_says_which_key_it_misses(
    ledger_url: str, keyring: Keyring, an_answer: Make
) -> None:
    with Ledger.open(ledger_url, keyring, create=True, deadline=15.0) as ledger:
        asyncio.run(ledger.record(an_answer()))
    with Ledger.open(ledger_url, Keyring.generate()) as stranger:
        with pytest.raises(LedgerSealed, match=keyring.current_id.hex()):
            list(stranger.answers())
        with pytest.raises(LedgerSealed):
            stranger.check()


def test_rotation_reseals_every_row_and_keeps_the_pseudonyms(
    ledger_url: str, an_answer: Make, a_feedback: Callable[..., FeedbackRecord], rows: Rows
) -> None:
    old = Keyring.generate()
    new = Keyring.parse(old.rotated().text())
    given = [an_answer() for _ in range(450)]
    with Ledger.open(ledger_url, old, create=True, deadline=15.0) as ledger:
        for answer in given[:-1]:
            asyncio.run(ledger.record(answer))
        asyncio.run(ledger.feedback([a_feedback("orphan"), a_feedback(given[0].card_ids[0])]))
        before = rows("SELECT DISTINCT patient FROM answers")
        assert ledger.rotate(new) == 449 + 2 + 1  # and the event with which the chain begins
        assert ledger.rotate(new) == 0
        asyncio.run(ledger.record(given[-1]))
    with Ledger.open(ledger_url, new.alone()) as ledger:
        assert list(ledger.answers()) == given
        assert len(list(ledger.feedback_records())) == 2
    assert rows("SELECT DISTINCT patient FROM answers") == before
    with Ledger.open(ledger_url, old) as ledger, pytest.raises(LedgerSealed):
        next(ledger.answers())


def test_a_key_with_other_pseudonyms_cannot_follow(ledger: Ledger) -> None:
    with pytest.raises(SiteError, match="pseudonyms"):
        ledger.rotate(Keyring.generate())


def test_a_key_survives_its_text() -> None:
    ring = Keyring.generate().rotated()
    again = Keyring.parse(f" {ring.text().replace(',', ' , ')}\n")
    assert again.open(ring.seal(b"x", b"y"), b"y") == b"x"
    assert again.pseudonym("t", "p") == ring.pseudonym("t", "p")


BAD_KEYS = ["", "   ", "short", "A" * 85, "A" * 87, "é" * 86, "!" * 86, "A" * 86 + ",", "A" * 86 + "," + "B" * 86]


@pytest.mark.parametrize("number", range(len(BAD_KEYS)))
def test_a_bad_key_is_refused_without_being_repeated(number: int) -> None:
    text = BAD_KEYS[number]
    with pytest.raises(SiteError) as refused:
        Keyring.parse(text)
    assert not text.strip() or text not in str(refused.value)
    assert refused.value.__cause__ is None


def test_a_keyring_shows_and_pickles_nothing() -> None:
    ring = Keyring.generate()
    secret = ring.text()
    assert secret[:8] not in repr(ring)
    with pytest.raises(TypeError):
        pickle.dumps(ring)


def test_the_demos_key_file_is_made_once_and_privately(tmp_path: Path) -> None:
    path = tmp_path / "ledger.key"
    with pytest.raises(SiteError, match="cannot be read"):
        Keyring.from_file(path)
    made = Keyring.from_file(path, create=True)
    assert path.stat().st_mode & 0o777 == 0o600
    assert Keyring.from_file(path, create=True).text() == made.text() == Keyring.from_file(path).text()
    assert [found.name for found in tmp_path.iterdir()] == ["ledger.key"]


def test_a_key_file_that_everybody_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ledger.key"
    Keyring.from_file(path, create=True)
    path.chmod(0o644)
    with pytest.raises(SiteError, match="chmod 600"):
        Keyring.from_file(path)
