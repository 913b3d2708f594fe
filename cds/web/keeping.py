"""Keeps the connections to EHRs of the site that is served, and closes an earlier site's when its calls have ended."""

import asyncio

from cds.site import Site

SPARE_SECONDS = 30.0
"""How much longer than its own limits a call of an earlier site is waited for."""


async def keep(site: Site) -> None:
    for servers in site.servers():
        await servers.__aenter__()


async def let_go(site: Site) -> None:
    for servers in site.servers():
        await servers.__aexit__()


async def let_go_later(site: Site, spare: float = SPARE_SECONDS) -> None:
    await asyncio.sleep(site.settings.fetch_seconds + site.settings.answer_seconds + spare)
    await let_go(site)
