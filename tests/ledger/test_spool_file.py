"""A spool's file gives back every whole frame, cuts a torn end, and never reads over damage (R53)."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cds.errors import LedgerSealed, LedgerUnavailable, SiteError
from cds.ledger import AnswerRecord, FeedbackRecord, Keyring
from cds.ledger.spool import Spool
from cds.ledger.spool_file import DAMAGED, SALVAGED, START, SpoolFile
from cds.ledger.spool_reading import Spooled, packed

Make = Callable[..., AnswerRecord]
VALUES = [b"one", b"", b"three" * 40, b"four"]


@pytest.fixture
def written(tmp_path: Path, keyring: Keyring) -> Path:
    """A spool that a process left when it was killed."""
    return _left(tmp_path / "left", keyring)


def _left(folder: Path, keyring: Keyring) -> Path:
    folder.mkdir()
    file = SpoolFile.create(folder)
    file.append(VALUES[:1], keyring)
    file.append(VALUES[1:], keyring)
    file.close()
    return file.path


def _found(path: Path, keyring: Keyring) -> list[bytes]:
    """What a process that starts now would bring home."""
    spool = Spool.open(path.parent, keyring)
    try:
        return [frame.plain for frame in spool.next().frames]
    finally:
        spool.close(5)


def test_what_was_appended_is_adopted_in_order(written: Path, keyring: Keyring) -> None:
    assert _found(written, keyring) == VALUES
    assert written.stat().st_mode & 0o777 == 0o600
    assert list(written.parent.iterdir()) == [written], "an empty spool leaves no file behind"


@pytest.mark.proves("R53", "a spool torn at each of its bytes: every whole frame kept, the rest cut, 0 errors")
def test_r53_torn_at_any_byte_the_whole_frames_remain(written: Path, keyring: Keyring) -> None:
    whole = written.read_bytes()
    ends = list(_ends(written, keyring))
    for size in range(len(whole)):
        written.write_bytes(whole[:size])
        assert _found(written, keyring) == VALUES[: sum(end <= size for end in ends)], f"torn at {size}"
        written.unlink(missing_ok=True)


def test_r53_room_that_a_power_cut_left_empty_is_cut(written: Path, keyring: Keyring) -> None:
    with written.open("ab") as file:
        file.write(bytes(70_000))
    assert _found(written, keyring) == VALUES
    assert _found(written, keyring) == VALUES


@pytest.mark.proves("R53", "one byte changed at each place of a spool: found each time, 0 bytes of it changed")
def test_r53_damage_at_any_byte_stops_the_start_and_changes_nothing(written: Path, keyring: Keyring) -> None:
    whole = written.read_bytes()
    for at in range(len(whole)):
        damaged = whole[:at] + bytes([whole[at] ^ 0x41]) + whole[at + 1 :]
        written.write_bytes(damaged)
        with pytest.raises(SiteError, match=r"damaged at byte \d+, behind \d whole events") as refused:
            _found(written, keyring)
        assert str(written) in str(refused.value)
        assert written.read_bytes() == damaged
        assert list(written.parent.iterdir()) == [written]


def test_r53_a_frame_taken_out_or_moved_is_damage(written: Path, keyring: Keyring) -> None:
    whole, ends = written.read_bytes(), list(_ends(written, keyring))
    head, first, second, rest = whole[:START], whole[START : ends[0]], whole[ends[0] : ends[1]], whole[ends[1] :]
    for changed in (head + second + rest, head + first + rest, head + second + first + rest, head + first + first):
        written.write_bytes(changed)
        with pytest.raises(SiteError, match="damaged"):
            _found(written, keyring)


def test_r53_a_frame_of_another_spool_is_damage(written: Path, keyring: Keyring, tmp_path: Path) -> None:
    other = _left(tmp_path / "other", keyring)
    written.write_bytes(written.read_bytes()[:START] + other.read_bytes()[START:])
    with pytest.raises(SiteError, match=f"damaged at byte {START}"):
        _found(written, keyring)


@pytest.mark.proves("R53", "of a damaged spool every whole frame is salvaged, and the file is kept to the byte")
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_r53_what_is_whole_in_a_damaged_spool_is_salvaged(
    tmp_path_factory: pytest.TempPathFactory, keyring: Keyring, data: st.DataObject
) -> None:
    written = _left(tmp_path_factory.mktemp("spool") / "left", keyring)
    whole, ends = written.read_bytes(), list(_ends(written, keyring))
    at = data.draw(st.integers(0, len(whole) - 1))
    damaged = whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :]
    hit = next((index for index, end in enumerate(ends) if START <= at < end), None)
    aside = written.with_suffix(DAMAGED)
    aside.write_bytes(damaged)
    written.unlink()
    spool = Spool.open(aside.parent, keyring)
    batch = spool.next()
    assert [frame.plain for frame in batch.frames] == [value for index, value in enumerate(VALUES) if index != hit]
    spool.recorded(batch)
    assert (spool.events, spool.next().frames) == (0, [])
    spool.close(5)
    assert aside.with_suffix(SALVAGED).read_bytes() == damaged


def test_a_spool_whose_key_is_gone_stops_the_start_and_is_kept(written: Path) -> None:
    before = written.read_bytes()
    with pytest.raises(LedgerSealed, match="not among the ledger's keys"):
        _found(written, Keyring.generate())
    assert written.read_bytes() == before


def test_after_a_rotation_the_spool_still_opens(written: Path, keyring: Keyring) -> None:
    assert _found(written, keyring.rotated()) == VALUES


def test_a_living_process_keeps_its_spool(tmp_path: Path, keyring: Keyring) -> None:
    living = SpoolFile.create(tmp_path)
    living.append(VALUES, keyring)
    spool = Spool.open(tmp_path, keyring)
    assert spool.events == 0
    assert SpoolFile.adopt(living.path) is None
    spool.close(5)
    living.close()
    assert _found(living.path, keyring) == VALUES


def test_of_two_processes_one_adopts(written: Path, keyring: Keyring) -> None:
    first, second = Spool.open(written.parent, keyring), Spool.open(written.parent, keyring)
    assert (first.events, second.events) == (len(VALUES), 0)
    first.close(5)
    second.close(5)


@pytest.mark.parametrize("place", ["a file", "a file above", "no permission"])
@pytest.mark.proves("R53", "3 folders that cannot be written stop the start with a SiteError")
def test_r53_a_folder_that_cannot_be_used_stops_the_start(tmp_path: Path, keyring: Keyring, place: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    folder = {
        "a file": tmp_path / "file",
        "a file above": tmp_path / "file" / "spool",
        "no permission": Path("/proc/1"),
    }
    with pytest.raises(SiteError, match="cannot be spooled here"):
        Spool.open(folder[place], keyring)


def test_a_group_that_fails_half_way_leaves_no_trace(tmp_path: Path, keyring: Keyring) -> None:
    file = SpoolFile.create(tmp_path)
    file.append([b"before"], keyring)
    descriptor, file._descriptor = file._descriptor, os.open(file.path, os.O_RDONLY)
    with pytest.raises(OSError, match="Bad file descriptor"):
        file.append([b"lost"], keyring)
    os.close(file._descriptor)
    file._descriptor = descriptor
    file.append([b"after"], keyring)
    assert [frame.plain for frame in file.walk(START, 0, keyring)] == [b"before", b"after"]
    file.close()


def test_events_come_back_as_they_were_given(
    tmp_path: Path, keyring: Keyring, an_answer: Make, a_feedback: Callable[..., FeedbackRecord]
) -> None:
    events = [
        Spooled(an_answer(reason="low-risk")),
        Spooled(feedback=(a_feedback("a"), a_feedback("b", comment=None))),
        Spooled(an_answer(scores=(), cards=b"\xff\x00", replay_key="k")),
    ]
    file = SpoolFile.create(tmp_path)
    file.append([packed(event) for event in events], keyring)
    file.close()
    spool = Spool.open(tmp_path, keyring)
    assert spool.next().events == events
    spool.close(5)


@pytest.mark.proves("R53", "the spool's cap: exactly as many events, and as many bytes, as it allows")
@pytest.mark.parametrize(("events", "size", "fit"), [(10, 1 << 20, 10), (1000, 5000, 4)])
async def test_r53_a_full_spool_takes_no_more(
    tmp_path: Path, keyring: Keyring, events: int, size: int, fit: int
) -> None:
    spool = Spool.open(tmp_path, keyring, events=events, size=size)
    for _ in range(fit):
        assert spool.usable()
        await spool.keep(bytes(1000))
    with pytest.raises(LedgerUnavailable, match="spool is full"):
        await spool.keep(bytes(1000))
    assert (spool.events, spool._own.file.size <= size) == (fit, True)
    spool.recorded(spool.next())
    assert spool.usable()
    await spool.keep(bytes(1000))
    spool.close(5)
    with pytest.raises(LedgerUnavailable, match="closed"):
        await spool.keep(b"")


def _ends(path: Path, keyring: Keyring) -> Iterator[int]:
    file = SpoolFile.adopt(path)
    assert file
    yield from (frame.end for frame in file.walk(START, 0, keyring))
    file.close()
