"""A ledger is created, upgraded, purged and checked the same way on both databases."""

import asyncio
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from cds.errors import LedgerUnavailable, SiteError
from cds.ledger import AnswerRecord, FeedbackRecord, Keyring, Ledger, upgrade
from cds.ledger.database import MIGRATIONS, connect
from cds.ledger.schema import HEAD, metadata

Make = Callable[..., AnswerRecord]
Rows = Callable[[str], list[Any]]
HOUR = timedelta(hours=1)


def test_a_ledger_that_is_not_there_is_refused_with_the_command_to_run(ledger_url: str, keyring: Keyring) -> None:
    with pytest.raises(SiteError, match="bedside ledger upgrade"):
        Ledger.open(ledger_url, keyring)


def test_a_ledger_of_another_revision_is_refused(ledger_url: str, keyring: Keyring, rows: Rows) -> None:
    Ledger.open(ledger_url, keyring, create=True).close()
    rows("UPDATE alembic_version SET version_num = '0000'")
    with pytest.raises(SiteError, match=r"at revision 0000.*bedside ledger upgrade"):
        Ledger.open(ledger_url, keyring)


def test_the_migrations_make_the_tables_that_the_code_declares(ledger_url: str) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    upgrade(ledger_url)
    upgrade(ledger_url)
    with connect(ledger_url).connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_the_code_names_the_newest_migration() -> None:
    from alembic.script import ScriptDirectory

    assert ScriptDirectory(str(MIGRATIONS)).get_heads() == [HEAD]


@pytest.mark.parametrize("url", ["nonsense", "mysql://u:s3cret@h/d", "sqlite://", "sqlite:///:memory:", ""])
def test_a_ledger_that_cannot_last_is_refused_without_its_password(url: str, keyring: Keyring) -> None:
    with pytest.raises(SiteError) as refused:
        Ledger.open(url, keyring, create=True)
    assert "s3cret" not in str(refused.value)


@pytest.mark.proves("R29", "rows before the limit: all gone; rows after it: all there")
def test_purging_leaves_nothing_of_what_is_old_and_all_of_the_rest(
    ledger: Ledger, an_answer: Make, a_feedback: Callable[..., FeedbackRecord], rows: Rows
) -> None:
    old = [an_answer(replay_key=f"o{n}") for n in range(230)]
    new = an_answer(recorded_at=old[0].recorded_at + HOUR, replay_key="n")
    for answer in [*old, new]:
        asyncio.run(ledger.record(answer))
    told = [a_feedback(answer.card_ids[0], received_at=new.recorded_at) for answer in (old[0], new)]
    orphans = [a_feedback("lost"), a_feedback("found", received_at=new.recorded_at)]
    asyncio.run(ledger.feedback(told + orphans))
    assert ledger.purge(new.recorded_at) == 230
    assert [answer.id for answer in ledger.answers()] == [new.id]
    assert list(ledger.feedback_records()) == [told[1], orphans[1]]
    assert [rows(f"SELECT count(*) FROM {table}") for table in ("scores", "cards", "replays")] == [[(1,)]] * 3
    assert ledger.purge(new.recorded_at) == 0


def test_a_purged_answer_is_never_replayed(ledger: Ledger, an_answer: Make) -> None:
    first = an_answer(replay_key="k", body=b"first")
    asyncio.run(ledger.record(first))
    ledger.purge(first.recorded_at + HOUR)
    assert asyncio.run(ledger.record(an_answer(replay_key="k", body=b"second"))) == b"second"


def test_the_check_passes_on_an_empty_ledger_and_changes_nothing(ledger: Ledger, an_answer: Make) -> None:
    ledger.check()
    answer = an_answer()
    asyncio.run(ledger.record(answer))
    ledger.check()
    assert list(ledger.answers()) == [answer]


def test_the_check_notices_that_the_database_has_gone(sqlite_url: str, keyring: Keyring, tmp_path: Path) -> None:
    with Ledger.open(sqlite_url, keyring, create=True) as ledger:
        for path in tmp_path.glob("ledger.db*"):
            path.unlink()
        with pytest.raises((SiteError, LedgerUnavailable)):
            ledger.check()
    assert not (tmp_path / "ledger.db").exists()


def test_using_the_ledger_does_not_import_alembic() -> None:
    probe = "import sys, cds.ledger; sys.exit('alembic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", probe], timeout=60, check=False).returncode == 0
