"""Sets aside what a database that is there does not take: each in a file of its own, and once."""

import contextlib
import errno
from pathlib import Path

from cds.ledger.on_disk import sync_folder
from cds.ledger.seal import Keyring
from cds.ledger.spool_file import REFUSED, SpoolFile

_DRAFT = ".refusing"


def keep_aside(folder: Path, event: bytes, keyring: Keyring) -> None:
    """On the disk, sealed, when it returns. OSError: there is no file of it.

    Its name follows from the event: tried again, or begun again after a kill, it is the same file. Under that name it
    is whole; what a kill leaves of it before has another.
    """
    name = keyring.mac("row", b"refused\0" + event)[:16]
    kept = folder / f"{name.hex()}{REFUSED}"
    if kept.exists():
        sync_folder(folder)  # the kill may have come before its name was on the disk
        return
    draft = kept.with_suffix(_DRAFT)
    draft.unlink(missing_ok=True)
    file = SpoolFile.begin(draft, name)
    if file is None:
        raise OSError(errno.EAGAIN, "another process sets it aside")
    try:
        file.append([event], keyring)
        draft.rename(kept)
        sync_folder(folder)
    except OSError:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
        raise
    finally:
        file.close()
