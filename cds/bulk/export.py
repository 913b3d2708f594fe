"""Runs an export from its start, or from wherever it was interrupted, until every file is on the disk."""

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from cds.bulk.asking import BulkServer
from cds.bulk.checkpoint import LOG, Checkpoint, Record, held
from cds.bulk.ending import Exported, delete
from cds.bulk.event_log import EventLog
from cds.bulk.failed import ExportFailed, NotThisExport
from cds.bulk.kickoff import ExportRequest
from cds.bulk.pace import Pace
from cds.bulk.plan import digests_of
from cds.bulk.run import Run, Told

AT_ONCE = 5
DEADLINE = timedelta(days=30)
"""Some servers keep a large export waiting for weeks."""


async def export(
    request: ExportRequest, out: Path, *, server: BulkServer, pace: Pace, at_once: int = AT_ONCE,
    deadline: timedelta = DEADLINE, adopt: str | None = None, keep: bool = False,
    tell: Callable[[Told], None] = lambda _: None,
) -> Exported:  # fmt: skip
    """Fetch an export into `out`, an empty folder or one that holds this same export, which then goes on.

    `adopt`: the status URL of an export that runs already, instead of a new one. The server is told (DELETE) that its
    files are not needed any more once all are on the disk, unless `keep`. Raises ExportFailed and its kinds, after
    which the same call goes on; NotThisExport when `out` holds something else.
    """
    request.check()
    with _told(out), held(out):
        run = await _begun(request, out, server, pace, adopt)
        return await run.finished(at_once, deadline, keep=keep, tell=tell)


async def cancel(server: BulkServer, pace: Pace, *, out: Path | None = None, url: str | None = None) -> str:
    """Tell the server to end an export: the one of a folder, or the one with a status URL; what it answered, in words.

    Raises ExportFailed when it does not.
    """
    if out is None:
        if url is None:
            raise NotThisExport("there is no export to cancel: no folder that holds one, and no status URL")
        return await delete(server, url)
    with _told(out), held(out):
        book = Checkpoint.found(out)
        if book is not None and book.record.base != server.base:
            raise NotThisExport(f"{out}: it holds an export of {book.record.base}: give that server's base")
        target = url or (book.record.status_url if book else None)
        if target is None:
            raise NotThisExport(f"{out}: there is no running export to cancel")
        said = await delete(server, target)
        if book is not None and target == book.record.status_url:
            if book.record.state == "running":
                book.end("cancelled", pace.clock())  # first: a kill in between leaves what --cancel ends again
            book.forget_status()
        return said


@contextmanager
def _told(out: Path) -> Iterator[None]:
    """What the disk refuses, in a sentence."""
    try:
        yield
    except OSError as error:
        raise ExportFailed(f"{out}: {error.strerror or type(error).__name__}") from None


async def _begun(request: ExportRequest, out: Path, server: BulkServer, pace: Pace, adopt: str | None) -> Run:
    """The export of a folder, with its status URL on the disk."""
    book = Checkpoint.found(out)
    unanswered = book is not None and book.unanswered
    if book is not None and not unanswered:
        if (book.record.base, book.record.request_digest) != (server.base, request.digest()):
            raise NotThisExport(f"{out}: it holds another export: give the same options as then, or another folder")
        if adopt is not None and book.record.status_known_as() != digests_of(adopt)[0]:
            raise NotThisExport(
                f"{out}: it holds another export than the one to adopt: leave out --adopt to go on with it, or choose "
                "another folder"
            )
        if book.record.state == "cancelled":
            raise NotThisExport(f"{out}: its export was cancelled: choose another folder")
        run = Run(book, server, pace, EventLog(out / LOG, book.record.export_id, pace.clock))
        if not book.record.adopted and not run.log.tells("kickoff"):
            run.log.kickoff(server.base, request, {})  # the run before ended just before it could say so
        return run
    record = Record(
        export_id=secrets.token_hex(16), base=server.base, request=request.told(), request_digest=request.digest(),
        began=pace.clock(), adopted=adopt is not None, unanswered=unanswered and adopt is None,
    )  # fmt: skip
    run = Run(Checkpoint(out, record), server, pace, EventLog(out / LOG, record.export_id, pace.clock))
    if adopt is not None:
        record.status_url = server.allow(adopt, "the export's status")
        record.separate_status = request.separate_status
        run.book.save()
    else:
        await run.kick_off(request)
    return run
