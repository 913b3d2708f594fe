"""What is set aside stands in one file, whole, however often it had to be tried; a try that fails leaves nothing."""

import asyncio
from pathlib import Path

import pytest

from cds.ledger import Keyring, Ledger
from cds.ledger.aside import keep_aside
from cds.ledger.spool import Spool
from cds.ledger.spool_file import LIVE, REFUSED, START, SpoolFile
from cds.ledger.spool_reading import Spooled, packed
from tests.ledger.conftest import answer
from tests.ledger.full_disk import at_most
from tests.ledger.test_homecoming import _until


def _open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def _held(path: Path, keyring: Keyring) -> list[bytes]:
    file = SpoolFile.adopt(path)
    assert file
    found = [frame.plain for frame in file.walk(START, 0, keyring)]
    file.close()
    return found


@pytest.mark.proves("R53", "a full disk refuses 20 tries to set an event aside: 0 files and 0 descriptors are left")
@pytest.mark.parametrize("size", [10, START, START + 40], ids=["no head", "no frame", "half a frame"])
def test_a_try_that_fails_leaves_nothing(tmp_path: Path, keyring: Keyring, size: int) -> None:
    spool = Spool.open(tmp_path, keyring)
    before, files = _open_files(), set(tmp_path.iterdir())
    for _ in range(20):
        with at_most(size), pytest.raises(OSError, match="File too large"):
            spool.set_aside(bytes(1000))
    assert (_open_files(), set(tmp_path.iterdir()), spool.aside()) == (before, files, [])
    spool.set_aside(bytes(1000))
    [name] = spool.aside()
    assert _held(tmp_path / name, keyring) == [bytes(1000)]
    spool.close(5)


def test_a_spool_that_cannot_be_begun_leaves_nothing(tmp_path: Path) -> None:
    before = _open_files()
    for _ in range(20):
        with at_most(10), pytest.raises(OSError, match="File too large"):
            SpoolFile.create(tmp_path)
    assert (_open_files(), list(tmp_path.iterdir())) == (before, [])


@pytest.mark.proves(
    "R53", "set aside again after a kill, at any point of it: one file, one event, under a name of no use"
)
def test_twice_is_once(tmp_path: Path, keyring: Keyring) -> None:
    given = packed(Spooled(answer()))
    keep_aside(tmp_path, given, keyring)
    [kept] = tmp_path.iterdir()
    kept.rename(kept.with_suffix(".refusing"))  # a kill came before it had its name
    for ring in (keyring, keyring.rotated()):
        keep_aside(tmp_path, given, ring)
        assert list(tmp_path.iterdir()) == [kept]
        assert _held(kept, keyring) == [given]
    keep_aside(tmp_path, packed(Spooled(answer())), keyring)
    keep_aside(tmp_path, given, Keyring.generate())
    assert len(list(tmp_path.iterdir())) == 3


def test_renamed_it_comes_home_as_any_other(sqlite_url: str, keyring: Keyring, tmp_path: Path) -> None:
    folder, given = tmp_path / "spool", answer()
    folder.mkdir()
    keep_aside(folder, packed(Spooled(given)), keyring)
    [kept] = folder.glob(f"*{REFUSED}")
    kept.rename(kept.with_suffix(LIVE))
    with Ledger.open(sqlite_url, keyring, create=True, spool=folder) as ledger:
        _until(lambda: ledger.state() == "ok")
        asyncio.run(ledger.record(answer()))
        assert [one.id for one in ledger.answers()].count(given.id) == 1
