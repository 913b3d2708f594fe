"""Ends an export: what its server said went wrong, what it came to, and leave for the server to delete its files."""

from collections import Counter
from pathlib import Path

from msgspec import Struct

from cds.bulk.asking import BulkServer
from cds.bulk.checkpoint import Checkpoint
from cds.bulk.failed import ExportFailed
from cds.bulk.outcomes import read_issues
from cds.bulk.plan import Entry
from cds.errors import DataUnavailable


class Exported(Struct, frozen=True):
    """A complete export. `errors`: issues that the server reported in it, by severity. `warnings`: what to know."""

    folder: Path
    transaction_time: str | None
    files: int
    resources: int
    bytes: int
    deleted: int
    errors: dict[str, int]
    warnings: tuple[str, ...] = ()

    @property
    def partial(self) -> bool:
        """Whether the server says itself that something is missing."""
        return bool(self.errors.get("error") or self.errors.get("fatal"))


async def delete(server: BulkServer, url: str) -> str:
    """An export that the server does not know any more is as good as deleted."""
    try:
        answer = await server.ask(
            "DELETE", url, what="the export's status", headers={"Accept": "application/fhir+json"}
        )
    except DataUnavailable as fault:
        raise ExportFailed(f"the export could not be ended: {fault.message}") from None
    if answer.status in (404, 410):
        return "the server does not know the export any more"
    if not 200 <= answer.status < 300:
        raise ExportFailed(f"the server answered {answer.status} when told to end the export", status=answer.status)
    return "the server has ended the export"


def severities(folder: Path, entries: list[Entry]) -> dict[str, int]:
    """The issues in the files of the kind "error", by severity; a line that is no OperationOutcome is an error."""
    found: Counter[str] = Counter()
    for entry in entries:
        if entry.kind != "error":
            continue
        with (folder / entry.name).open("rb") as file:
            for line in file:
                if line.strip():
                    found.update([one.severity for one in read_issues(line.lstrip(b"\xef\xbb\xbf"))] or ["error"])
    return dict(found)


def exported(book: Checkpoint, warnings: tuple[str, ...]) -> Exported:
    record = book.record
    output = [one.kept for one in record.files if one.kind == "output" and one.kept is not None]
    deleted = sum(one.kept.lines for one in record.files if one.kind == "deleted" and one.kept is not None)
    return Exported(
        book.folder, record.transaction_time, len(output), sum(one.lines for one in output),
        sum(one.bytes for one in output), deleted, record.severities, warnings,
    )  # fmt: skip
