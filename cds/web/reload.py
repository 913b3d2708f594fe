"""Takes a changed site.toml while serving: everything is built and tried aside, then one pointer is swapped."""

import asyncio
from collections.abc import Callable

import structlog

from cds.errors import BedsideError, SiteError
from cds.settings import Settings
from cds.site import Site
from cds.site.proven import proven
from cds.trust.own_keys import OwnKeys
from cds.web.keeping import keep, let_go_later
from cds.web.smart.ready import check_smart
from cds.web.state import State

log = structlog.get_logger("bedside")

FIXED = (
    "trust", "public_url", "keys", "ledger", "ledger_key", "spool", "on_audit_failure", "failures_per_minute",
    "drain_seconds", "proxies",
)  # fmt: skip
"""What was opened with the old value at the start; a new one needs a new process."""


class Reload:
    """One reload at a time. A site that cannot be served leaves the old one in place, and readiness says "stale"."""

    def __init__(self, state: State, read: Callable[[], Site], keys: OwnKeys | None = None) -> None:
        self._state = state
        self._read = read
        self._keys = keys
        self._one = asyncio.Lock()
        self._leaving: set[asyncio.Task[None]] = set()

    async def __call__(self) -> bool:
        """Whether the site that is served is now the one that the files describe."""
        async with self._one:
            try:
                site = await asyncio.to_thread(self._checked)
            except BedsideError as error:
                return await self._kept(error.message)
            except Exception as error:  # noqa: BLE001 - a site's own code may raise anything, and the old site still stands
                return await self._kept(type(error).__name__)
            earlier = self._state.site
            await keep(site)
            self._state.swap(site)
            self._leave(earlier)
            log.info("configuration taken", services=len(site.services), clients=len(site.clients))
            await self._state.audit.configured("success")
            await self._state.audit.activated(site)
            return True

    def _leave(self, earlier: Site) -> None:
        task = asyncio.create_task(let_go_later(earlier))
        self._leaving.add(task)  # the loop alone would let go of it half way
        task.add_done_callback(self._leaving.discard)

    def _checked(self) -> Site:
        site = proven(self._read())
        if changed := _fixed(self._state.site.settings, site.settings):
            raise SiteError(f"{', '.join(changed)} cannot change while it runs: restart")
        check_smart(site, self._keys)
        return site

    async def _kept(self, why: str) -> bool:
        self._state.stale = True
        log.error("configuration not taken: the earlier one stays", why=why)
        await self._state.audit.configured("failed")
        return False


def _fixed(old: Settings, new: Settings) -> list[str]:
    return [name for name in FIXED if getattr(old, name) != getattr(new, name)]
