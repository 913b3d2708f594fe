"""Lists the files of an export under names that stay, however often its manifest is read again."""

import hashlib
from collections import Counter
from datetime import datetime
from urllib.parse import urlsplit

from msgspec import Struct

from cds.bulk.failed import ExportFailed
from cds.bulk.manifest import Kind, Listed, Manifest

_FOLDERS = {"output": "", "deleted": "deleted/", "error": "error/"}


class Kept(Struct, frozen=True):
    """What a file on disk was found to be: bytes, lines that are not blank, and SHA-256, in hex."""

    bytes: int
    lines: int
    sha256: str


class Entry(Struct, kw_only=True):
    """One file: its place in the manifest, its name in the folder, and, once it is there, what was kept.

    URLs may hold a signature, so that only their digests are kept: `address` of the whole one, `place` of the one
    without its query. `count` and `size` are the manifest's.
    """

    kind: Kind
    type: str
    name: str
    page: int
    index: int
    address: str
    place: str
    count: int | None = None
    size: int | None = None
    kept: Kept | None = None


class Link(Struct, frozen=True):
    """Where a file is at the moment."""

    url: str
    with_token: bool
    expires: datetime | None


class Plan:
    """The files in the manifest's order. `links` are known only as far as the manifest was read since the start."""

    def __init__(self, entries: list[Entry]) -> None:
        self.entries = entries
        self.links: dict[str, Link] = {}
        self._numbers: Counter[tuple[Kind, str]] = Counter((one.kind, one.type) for one in entries)
        self._spots = {(one.page, one.kind, one.index): one for one in entries}

    def take(self, page: int, manifest: Manifest, expires: datetime | None) -> list[Entry]:
        """Add a page, or find again what was known of it; the entries of the page.

        Raises ExportFailed when the server names other files than it did before.
        """
        found: list[Entry] = []
        index: Counter[Kind] = Counter()
        known = self._by_digest(page)
        for listed in manifest.files:
            entry = self._entry(page, index[listed.kind], listed, known)
            index[listed.kind] += 1
            self.links[entry.name] = Link(listed.url, manifest.with_token, expires)
            found.append(entry)
        if len({one.name for one in found}) < len(found):
            raise ExportFailed("the export's manifest names one file twice where it named two before")
        return found

    def _by_digest(self, page: int) -> dict[str, Entry]:
        """What a server lists in another order is the same file; a digest that two files share says nothing."""
        mine = [one for one in self.entries if one.page == page]
        digests = Counter(digest for one in mine for digest in {one.address, one.place})
        return {digest: one for one in mine for digest in {one.address, one.place} if digests[digest] == 1}

    def _entry(self, page: int, index: int, listed: Listed, known: dict[str, Entry]) -> Entry:
        address, place = digests_of(listed.url)
        there = known.get(address) or known.get(place) or self._spots.get((page, listed.kind, index))
        if there is None:
            return self._added(page, index, listed)
        if (there.kind, there.type, there.count, there.size) != (listed.kind, listed.type, listed.count, listed.size):
            raise ExportFailed(
                f"{there.name}: the export's manifest names another file there than it did before; begin the export "
                "again in another folder"
            )
        return there

    def _added(self, page: int, index: int, listed: Listed) -> Entry:
        address, place = digests_of(listed.url)
        self._numbers[listed.kind, listed.type] += 1
        number = self._numbers[listed.kind, listed.type]
        entry = Entry(
            kind=listed.kind, type=listed.type, name=f"{_FOLDERS[listed.kind]}{listed.type}.{number:04}.ndjson",
            page=page, index=index, address=address, place=place, count=listed.count, size=listed.size,
        )  # fmt: skip
        self.entries.append(entry)
        self._spots[page, listed.kind, index] = entry
        return entry


def digests_of(url: str) -> tuple[str, str]:
    """SHA-256 of a URL, and of the same without its query."""
    bare = urlsplit(url)._replace(query="", fragment="").geturl()
    return hashlib.sha256(url.encode()).hexdigest(), hashlib.sha256(bare.encode()).hexdigest()
