"""Opens the ledger's database, SQLite or PostgreSQL, so that a commit that returned has reached the disk."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from sqlalchemy import Connection, Engine, NullPool, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, OperationalError, ProgrammingError

from cds.errors import LedgerUnavailable, SiteError
from cds.ledger.schema import HEAD

MIGRATIONS = Path(__file__).parent / "migrations"

# Two processes that start at once must not both migrate; any constant will do.
_ADVISORY_LOCK = 0x62656473

# `secure_delete`: what the retention job deletes is overwritten, not merely unlinked.
# The cache (KiB) and rarer checkpoints: pages of random keys are not read and written again and again.
_SQLITE = (
    "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "secure_delete=ON", "cache_size=-32768",
    "wal_autocheckpoint=4000",
)  # fmt: skip

# A server set to answer before its disk does would break the promise: `off` is raised, stronger settings stay.
_POSTGRES = (
    "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'",
    "SET statement_timeout = '30s'",
)


def database_url(url: str) -> URL:
    """The URL as we use it, or a SiteError; a password in it is never repeated."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise SiteError("the ledger's URL cannot be read; write sqlite:///FILE or postgresql://…") from None
    if parsed.drivername in {"postgresql", "postgres", "postgresql+psycopg"}:
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() != "sqlite":
        raise SiteError(f"the ledger keeps SQLite or PostgreSQL, not {parsed.drivername}")
    if parsed.database in {None, "", ":memory:"}:
        raise SiteError("the ledger needs a file: a database in memory forgets what was answered")
    return parsed.set(drivername="sqlite+pysqlite")


def connect(url: str, *, busy_ms: int = 1500, create: bool = False) -> Engine:
    """An engine without a pool: the writer keeps its one connection, and everybody else comes seldom."""
    target = database_url(url)
    try:
        if target.get_backend_name() == "sqlite":
            return _sqlite(Path(str(target.database)), busy_ms, create=create)
        engine = create_engine(
            target, poolclass=NullPool, connect_args={"connect_timeout": 5, "tcp_user_timeout": 5000}
        )
    except (ModuleNotFoundError, NoSuchModuleError):
        raise SiteError("PostgreSQL needs psycopg: install bedside[postgres]") from None
    event.listen(engine, "connect", _prepare_postgres)
    return engine


def _sqlite(path: Path, busy_ms: int, *, create: bool) -> Engine:
    if create:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        except OSError:
            raise SiteError(f"{path}: the ledger cannot be created here") from None
    # mode=rw: a file that has gone is an error, not a new and empty ledger.
    url = URL.create("sqlite+pysqlite", database=f"file:{quote(str(path))}", query={"mode": "rw", "uri": "true"})
    arguments = {"check_same_thread": False, "timeout": busy_ms / 1000}
    engine = create_engine(url, poolclass=NullPool, connect_args=arguments)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # the driver would begin a read first and then fail to make it a write
    for pragma in _SQLITE:
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN" if connection.get_execution_options().get("reading") else "BEGIN IMMEDIATE")


def _prepare_postgres(connection: Any, _record: Any) -> None:
    for statement in _POSTGRES:
        connection.execute(statement)
    connection.commit()


def migrate(url: str, then: Callable[[Connection, str | None], None]) -> None:
    """Brings the tables up to date, and in the same transaction does `then`, which is told the revision of before."""
    from alembic import command
    from alembic.config import Config
    from alembic.runtime.migration import MigrationContext

    engine = connect(url, busy_ms=30_000, create=True)
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    try:
        with engine.begin() as connection:
            if engine.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
            before = MigrationContext.configure(connection).get_current_revision()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            then(connection, before)
    except DBAPIError as error:
        raise unavailable(error) from None


def refuse_unless_there(engine: Engine) -> None:
    """For a ledger that has been open: a SQLite file that has gone is an outage, and no ledger that was never made."""
    if engine.dialect.name == "sqlite" and not Path(_sqlite_path(engine)).exists():
        raise LedgerUnavailable("the ledger's file has gone: check BEDSIDE_LEDGER")
    refuse_unless_current(engine)


def refuse_unless_current(engine: Engine) -> None:
    """SiteError unless the tables are those that this code was written for."""
    found = revision(engine)
    if found != HEAD:
        have = f"at revision {found}" if found else "empty"
        raise SiteError(f"the ledger is {have}, this Bedside needs {HEAD}: run `bedside ledger upgrade`")


def revision(engine: Engine) -> str | None:
    """The revision in the database; None if there is no ledger yet."""
    if engine.dialect.name == "sqlite" and not Path(_sqlite_path(engine)).exists():
        return None
    try:
        with engine.connect() as connection:
            value: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
            return value
    except (OperationalError, ProgrammingError) as error:
        # "No such table" is an OperationalError on SQLite and a ProgrammingError (undefined table) on PostgreSQL.
        if "no such table" in str(error.orig) or getattr(error.orig, "sqlstate", None) == "42P01":
            return None
        raise unavailable(error) from None


def _sqlite_path(engine: Engine) -> str:
    return unquote(str(engine.url.database).removeprefix("file:"))


class Unwritable(LedgerUnavailable):
    """The database is there and does not take this record: no other time and no spool would help."""


# PEP 249's names, which every driver gives its own; the others come from a value that no driver can pass on.
_RECORDS_FAULT = {"DataError", "IntegrityError", "ValueError", "TypeError", "OverflowError"}


def unavailable(error: BaseException) -> LedgerUnavailable:
    """What may be said of a database's error: its kind. Its text can hold the row."""
    cause = getattr(error, "orig", None) or error
    if _RECORDS_FAULT & {kind.__name__ for kind in type(cause).__mro__}:
        return Unwritable(f"the ledger does not take this record ({type(cause).__name__}): it is not answered")
    # A server that answers gives an SQLSTATE; SQLite names the one case in which there is no file to open.
    unreached = isinstance(error, OperationalError) and getattr(cause, "sqlstate", "") is None
    if unreached or getattr(cause, "sqlite_errorname", "") == "SQLITE_CANTOPEN":
        return LedgerUnavailable("the ledger's database cannot be reached: check BEDSIDE_LEDGER")
    return LedgerUnavailable(f"the ledger's database failed ({type(cause).__name__}): nothing is answered unrecorded")
