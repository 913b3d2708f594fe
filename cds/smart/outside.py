"""Speaks with an EHR's authorization server: JSON comes back within limits, or the launch says that nobody answered."""

from collections.abc import Mapping

from cds.errors import DataUnavailable
from cds.fhir.http import Transport, fetch_bytes
from cds.smart.discovery import DOCUMENT_BYTES, FETCH_SECONDS
from cds.smart.refused import SmartRefused

POST_SECONDS = 10.0
"""Signing in on the EHR's side may look a user up; a clinician waits for it once."""

Answer = tuple[int, bytes, Mapping[str, str]]


class Outside:
    """No redirect is followed, and credentials go only where a post is sent to."""

    def __init__(self, transport: Transport | None = None) -> None:
        self._transport = transport

    async def read(self, url: str) -> Answer:
        return await self._ask(url, FETCH_SECONDS)

    async def post(self, url: str, form: Mapping[str, str]) -> Answer:
        return await self._ask(url, POST_SECONDS, form)

    async def _ask(self, url: str, seconds: float, form: Mapping[str, str] | None = None) -> Answer:
        try:
            return await fetch_bytes(
                url, limit=DOCUMENT_BYTES, seconds=seconds, transport=self._transport, form=form
            )  # fmt: skip
        except DataUnavailable:
            raise SmartRefused("unreachable") from None
