"""Leaves a file that an administrator rewrites with the account that reads it."""

import os
from pathlib import Path

from cds.errors import SiteError


def keep_owner(descriptor: int, path: Path) -> None:
    """Gives the draft that will take `path`'s place to its owner. SiteError where we may not: nothing is replaced."""
    try:
        there = path.stat()
    except FileNotFoundError:
        return
    draft = os.fstat(descriptor)
    if (draft.st_uid, draft.st_gid) == (there.st_uid, there.st_gid):
        return
    try:
        os.fchown(descriptor, there.st_uid, there.st_gid)
    except OSError:
        raise SiteError(
            f"{path} belongs to account {there.st_uid}, group {there.st_gid}, and would not any more: run this as "
            "that account, or as root. Nothing was changed"
        ) from None
