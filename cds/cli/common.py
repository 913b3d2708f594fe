"""What every command shares: its exit codes, its options, and how an error is told."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, time
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from cds.errors import BedsideError, RequestError, SiteError, UnsafeToServe
from cds.ledger import Keyring, Ledger
from cds.settings import Settings

OK, FAILED, USAGE, REJECTS, UNSAFE = 0, 1, 2, 3, 4

SiteOption = Annotated[
    Path | None,
    typer.Option("--site", help="Folder with site.toml and your own hooks/ and models/.", show_default=False),
]
RegionOption = Annotated[
    str | None, typer.Option("--region", help="north-america or elsewhere; there is no default.", show_default=False)
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, one line each.")]
AtOption = Annotated[
    str | None, typer.Option("--at", help="As of this day or instant (2026-11-22, 2026-11-22T14:02:00Z). Default: now.")
]

# Into a pipe or a file nothing is cut to fit a screen.
out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 200)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def stop(code: int, message: str) -> NoReturn:
    """End the command with a message on standard error."""
    err.print(message, markup=False)
    raise typer.Exit(code)


@contextmanager
def told() -> Iterator[None]:
    """Turn our errors into a sentence and an exit code; anything else is a bug and shows itself."""
    try:
        yield
    except UnsafeToServe as error:
        stop(UNSAFE, error.message)
    except (SiteError, RequestError) as error:
        stop(USAGE, error.message)
    except BedsideError as error:
        stop(FAILED, error.message)


def instant(text: str | None) -> datetime:
    """`--at`: an instant, or a day up to its end in UTC."""
    if text is None:
        return datetime.now(UTC)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        stop(USAGE, f"--at {text}: write a day (2026-11-22) or an instant with an offset (2026-11-22T14:02:00Z)")
    if len(text) <= len("2026-11-22"):
        return datetime.combine(moment.date(), time.max, UTC)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def demo_folder() -> Path:
    """Where the demo keeps its ledger between runs."""
    base = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(base) / "bedside"


def open_ledger(settings: Settings, *, demo: bool = False) -> Ledger:
    """The site's ledger. Raises SiteError when its key is not set or its tables are not up to date."""
    if demo and settings.ledger is None:
        folder = demo_folder()
        folder.mkdir(parents=True, exist_ok=True)
        return Ledger.open(
            f"sqlite:///{folder / 'demo.sqlite'}", Keyring.from_file(folder / "demo.key", create=True), create=True
        )
    if settings.ledger_key is None:
        raise SiteError("BEDSIDE_LEDGER_KEY is not set: `bedside ledger key` makes one")
    keyring = Keyring.parse(settings.ledger_key.get_secret_value())
    return Ledger.open(ledger_url(settings), keyring, create=demo)


def ledger_url(settings: Settings) -> str:
    return settings.ledger or "sqlite:///bedside.sqlite"


def read_input(path: str) -> bytes:
    """A file's bytes, or standard input for "-"."""
    if path == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(path).read_bytes()
    except OSError as error:
        stop(USAGE, f"{path}: {error.strerror}")
