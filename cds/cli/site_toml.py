"""Edits a site's site.toml as a careful person would: comments and order stay, and a slip changes nothing."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import tomlkit
from tomlkit import TOMLDocument
from tomlkit.exceptions import TOMLKitError

from cds.errors import SiteError
from cds.settings import read_settings
from cds.site import load_site
from cds.trust.ownership import keep_owner


def edit(folder: Path, change: Callable[[TOMLDocument], None]) -> None:
    """Apply `change` to `folder`/site.toml. Raises SiteError, and leaves the file alone, unless a site comes of it."""
    path = (folder / "site.toml").resolve()  # a link stays one
    before = _bytes(path)
    document = parse(before)
    change(document)
    after = tomlkit.dumps(document).encode()
    _refuse_unless_sound(folder, after)
    if _bytes(path) != before:
        raise SiteError("site.toml was changed by somebody else meanwhile: look at it, and run this again")
    _replace(path, after)


def read(folder: Path) -> TOMLDocument:
    return parse(_bytes((folder / "site.toml").resolve()))


def parse(content: bytes) -> TOMLDocument:
    try:
        return tomlkit.parse(content)
    except (TOMLKitError, UnicodeDecodeError) as error:
        raise SiteError(f"site.toml cannot be read: {error}") from None


def _bytes(path: Path) -> bytes:
    """The file as it stands; one that is not there yet is empty."""
    if not path.parent.is_dir():
        raise SiteError(f"--site {path.parent}: there is no such folder")
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise SiteError(f"site.toml cannot be read: {error.strerror}") from None


def _refuse_unless_sound(folder: Path, content: bytes) -> None:
    """Read the new text as a start would, from a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="bedside-") as beside:
        (Path(beside) / "site.toml").write_bytes(content)
        load_site(folder, read_settings(Path(beside)))


def _replace(path: Path, content: bytes) -> None:
    """All of it or nothing, also when the power goes: written beside, brought to the disk, then renamed."""
    mode = path.stat().st_mode & 0o7777 if path.exists() else 0o644
    try:
        descriptor, beside = tempfile.mkstemp(prefix=".site.toml-", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                keep_owner(descriptor, path)
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            Path(beside).chmod(mode)
            Path(beside).replace(path)
        except BaseException:
            Path(beside).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise SiteError(f"site.toml cannot be written: {error.strerror}") from None
