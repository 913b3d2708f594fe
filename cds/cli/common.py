"""What every command shares: its exit codes, its options, and how an error is told."""

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, time
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console

from cds.batch.documents import STANDARD_INPUT
from cds.batch.gather import Gathered, gather
from cds.batch.recorded import recorded
from cds.errors import BedsideError, RequestError, RunUnusable, SiteError, UnsafeToServe, UnsafeToWrite
from cds.ledger import Keyring, Ledger
from cds.settings import Settings

OK, FAILED, USAGE, REJECTS, UNSAFE = 0, 1, 2, 3, 4
INTERRUPTED = 130  # 128 + SIGINT, as a shell reports it

SiteOption = Annotated[
    Path | None,
    typer.Option("--site", help="Folder with site.toml and your own hooks/ and models/.", show_default=False),
]
RegionOption = Annotated[
    str | None, typer.Option("--region", help="north-america or elsewhere; there is no default.", show_default=False)
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, one line each.")]
AtOption = Annotated[
    str | None,
    typer.Option(
        "--at", help="As of a day's end in UTC (2026-11-22), or an instant (2026-11-22T14:02:00Z). Default: now."
    ),
]

# What a chart says is printed as it stands: neither its [brackets] nor its :colons: are ours to read.
_PLAIN: dict[str, Any] = {"markup": False, "emoji": False, "highlight": False, "soft_wrap": True}

# Into a pipe or a file nothing is cut to fit a screen.
out = Console(**_PLAIN, width=None if sys.stdout.isatty() else 200)
err = Console(**_PLAIN, stderr=True)


def stop(code: int, message: str) -> NoReturn:
    """End the command with a message on standard error."""
    err.print(message)
    raise typer.Exit(code)


@contextmanager
def told() -> Iterator[None]:
    """Turn our errors into a sentence and an exit code; anything else is a bug and shows itself."""
    try:
        yield
    except (UnsafeToServe, UnsafeToWrite) as error:
        stop(UNSAFE, error.message)
    except (SiteError, RequestError, RunUnusable) as error:
        stop(USAGE, error.message)
    except BedsideError as error:
        stop(FAILED, error.message)


@contextmanager
def interruptible(word: str = "") -> Iterator[None]:
    """Ctrl-C, and what a scheduler or a shutdown sends, end the command with a word and the shell's code for it."""
    received = [signal.SIGINT]

    def end(number: int, _: object) -> None:
        received.append(signal.Signals(number))
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell's job in the background, which no Ctrl-C is for
            raise KeyboardInterrupt
        signal.raise_signal(signal.SIGINT)  # asyncio knows this one, and lets what runs come to an end

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    except KeyboardInterrupt:
        if word:
            err.print(word)
        raise typer.Exit(128 + received[-1]) from None
    finally:
        signal.signal(signal.SIGTERM, before)


def instant(text: str | None, option: str = "--at", *, day: time = time.max) -> datetime:
    """The value of `option`: an instant, or a day up to its end in UTC; with `day`, at that time of the day."""
    if text is None:
        return datetime.now(UTC)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        stop(USAGE, f"{option} {text}: write a day (2026-11-22) or an instant with an offset (2026-11-22T14:02:00Z)")
    if not 1900 <= moment.year <= 2200:  # look-backs and ages reckon from here, and a calendar has its ends
        stop(USAGE, f"{option} {text}: the year lies between 1900 and 2200")
    if len(text) <= len("2026-11-22"):
        return datetime.combine(moment.date(), day, UTC)
    if moment.tzinfo is None:
        stop(USAGE, f"{option} {text}: an instant needs its offset, as {text}Z or {text}+01:00")
    return moment


def since_option(text: str | None) -> datetime | None:
    """The value of --since: an instant, or the beginning of a day in UTC, so that the day itself is meant too."""
    return instant(text, "--since", day=time.min) if text else None


def demo_folder() -> Path:
    """Where the demo keeps its ledger and its keys between runs. Raises SiteError when there can be no such folder."""
    folder = Path(os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")) / "bedside"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SiteError(f"{folder}: {error.strerror}; XDG_DATA_HOME says where the demo keeps its ledger") from None
    return folder


def open_ledger(settings: Settings, *, demo: bool = False, serving: bool = False) -> Ledger:
    """The site's ledger, or the demo's own. Raises SiteError when the key is not set or the tables are not up to date.

    Only a server has a spool: a command that meets an outage ends, and leaves the spool to the servers.
    """
    spool = spool_folder(settings) if serving else None
    if demo:  # whatever the site's own is: made-up patients in it could never be taken out again
        folder = demo_folder()
        keyring = Keyring.from_file(folder / "demo.key", create=True)
        return Ledger.open(f"sqlite:///{folder / 'demo.sqlite'}", keyring, create=True)
    if settings.ledger_key is None:
        raise SiteError("BEDSIDE_LEDGER_KEY is not set: `bedside ledger key` makes one")
    keyring = Keyring.parse(settings.ledger_key.get_secret_value())
    return Ledger.open(ledger_url(settings), keyring, spool=spool)


def spool_folder(settings: Settings) -> Path | None:
    """Where answers wait while the ledger's database is out; None: they are refused instead."""
    if settings.on_audit_failure == "spool" and settings.spool is None:
        raise SiteError('on_audit_failure = "spool" needs a folder: spool = "/var/lib/bedside/spool"')
    return None if settings.on_audit_failure == "refuse" else settings.spool


def ledger_url(settings: Settings) -> str:
    return settings.ledger or "sqlite:///bedside.sqlite"


def read_export(files: Sequence[Path]) -> Gathered:
    """The resources of some files by patient; when there is not one, the command ends and says so."""
    for file in files:
        if not file.exists() and file != STANDARD_INPUT:
            stop(USAGE, f"{file}: there is no such file or folder")
        if file.is_dir():
            recorded(str(file))
        if packed := [file] if file.suffix == ".gz" else sorted(file.glob("*.gz")) if file.is_dir() else []:
            stop(USAGE, f"{packed[0]}: packed files are read with `bedside score … --out`; here, unpack them first")
    gathered = gather(files)
    if gathered.nothing:
        stop(USAGE, f"no FHIR resources found in {', '.join(map(str, files))} (subfolders are not looked into)")
    return gathered


def tell_rejects(gathered: Gathered) -> None:
    for reject in gathered.rejects:
        err.print(f"{reject.file}:{reject.line}: rejected: {reject.reason}")


def read_input(path: str) -> bytes:
    """A file's bytes, or standard input for "-"."""
    if path == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(path).read_bytes()
    except OSError as error:
        stop(USAGE, f"{path}: {error.strerror}")
