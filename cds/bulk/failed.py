"""Names the ways in which an export does not go on."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from cds.errors import BedsideError, RequestError


class ExportFailed(BedsideError):
    """The export does not go on. What was fetched stays, and the same command goes on from there.

    `said` is the server's own text, for the person at the terminal: it may name a patient and is kept nowhere.
    """

    def __init__(self, message: str, *, said: str = "", status: int | None = None) -> None:
        super().__init__(message)
        self.said = said
        self.status = status


class AlreadyRunning(ExportFailed):
    """The server runs an export for us already and takes no second one. `url`: its status URL, when it said so."""

    def __init__(self, message: str, *, said: str = "", url: str | None = None) -> None:
        super().__init__(message, said=said, status=429)
        self.url = url


class HostNotAllowed(ExportFailed):
    """The server sends us to an origin that nobody allowed."""

    def __init__(self, what: str, origin: str) -> None:
        super().__init__(
            f"{what} on {origin}, which is not allowed: allow it with --file-host {origin}, or in file_hosts of the "
            "client's backend in site.toml. No token goes there"
        )
        self.origin = origin


class AccessRefused(ExportFailed):
    """The authorization server gives no token, or one that cannot read what is needed."""


class NotThisExport(RequestError):
    """The folder holds something else than the export that is asked for."""


@asynccontextmanager
async def one_fault() -> AsyncIterator[None]:
    """The first of the faults that ended a group of tasks; the others followed from it."""
    try:
        yield
    except ExceptionGroup as group:
        raise _first(group) from None


def _first(group: ExceptionGroup[Exception]) -> BaseException:
    one: BaseException = group
    while isinstance(one, ExceptionGroup):
        one = one.exceptions[0]
    return one
