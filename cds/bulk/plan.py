"""Lists the files of an export under names that stay, however often its manifest is read again."""

import hashlib
from collections import Counter
from datetime import datetime
from urllib.parse import urlsplit

from msgspec import Struct

from cds.bulk.failed import ExportFailed
from cds.bulk.manifest import Kind, Listed, Manifest

_Looks = tuple[Kind, str, tuple[int, int] | None]
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

    def take(self, page: int, manifest: Manifest, expires: datetime | None) -> list[Entry]:
        """Add a page, or find again what was known of it; the entries of the page.

        A file whose URL is a new one is known by its place in the page. Where it could be another one as well, what
        was kept of it in an earlier run is forgotten (`kept` is None), so that it is fetched again.

        Raises ExportFailed when the server names other files than it did before, or, in one run, the same ones in a
        way that does not say which is which.
        """
        known = self._by_digest(page)
        same = [_known(listed, known) for listed in manifest.files]
        if len(sure := {one.name for one in same if one is not None}) < sum(one is not None for one in same):
            raise ExportFailed("the export's manifest names one file twice where it named two before")
        free = {(one.kind, one.index): one for one in self.entries if one.page == page and one.name not in sure}
        alike = _alike(self.entries, sure, [one for one, there in zip(manifest.files, same, strict=True) if not there])
        found: list[Entry] = []
        index: Counter[Kind] = Counter()
        for listed, there in zip(manifest.files, same, strict=True):
            place = index[listed.kind]
            entry = there or self._moved(free.get((listed.kind, place)), listed, alike)
            found.append(_agreed(entry, place, listed) if entry is not None else self._added(page, place, listed))
            index[listed.kind] += 1
        for entry, listed in zip(found, manifest.files, strict=True):
            self.links[entry.name] = Link(listed.url, manifest.with_token, expires)
        return found

    def _by_digest(self, page: int) -> dict[str, Entry]:
        """What a server lists in another order is the same file; a digest that two files share says nothing."""
        mine = [one for one in self.entries if one.page == page]
        digests = Counter(digest for one in mine for digest in {one.address, one.place})
        return {digest: one for one in mine for digest in {one.address, one.place} if digests[digest] == 1}

    def _moved(self, there: Entry | None, listed: Listed, alike: Counter[_Looks]) -> Entry | None:
        """The file that stood in this place, under its new URL."""
        if there is None or max(alike[_looks(there)], alike[_looks(listed)]) <= 1:
            return there
        if there.name in self.links:
            raise ExportFailed(
                f"{there.name}: read again, the export's manifest has new URLs, and does not say which of its "
                f"{there.type} files is which. The same command fetches those files again"
            )
        there.kept = None
        there.address, there.place = digests_of(listed.url)
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
        return entry


def _known(listed: Listed, known: dict[str, Entry]) -> Entry | None:
    address, place = digests_of(listed.url)
    return known.get(address) or known.get(place)


def _looks(one: Entry | Listed) -> _Looks:
    """What tells a file from others of its type, apart from its URL: only both numbers together do."""
    numbers = (one.count, one.size) if one.count is not None and one.size is not None else None
    return one.kind, one.type, numbers


def _alike(entries: list[Entry], sure: set[str], unknown: list[Listed]) -> Counter[_Looks]:
    """How many files might be meant by what looks so: those known, or those listed, under no URL of the other."""
    rest = Counter(_looks(one) for one in entries if one.name not in sure)
    return rest | Counter(map(_looks, unknown))


def _agreed(entry: Entry, index: int, listed: Listed) -> Entry:
    """Raises ExportFailed when it cannot be the same file."""
    if (entry.kind, entry.type, entry.count, entry.size) != (listed.kind, listed.type, listed.count, listed.size):
        raise ExportFailed(
            f"{entry.name}: the export's manifest names another file there than it did before; begin the export "
            "again in another folder"
        )
    entry.index = index
    return entry


def digests_of(url: str) -> tuple[str, str]:
    """SHA-256 of a URL, and of the same without its query."""
    bare = urlsplit(url)._replace(query="", fragment="").geturl()
    return hashlib.sha256(url.encode()).hexdigest(), hashlib.sha256(bare.encode()).hexdigest()
