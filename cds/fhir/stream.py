"""Reads an answer of any size as it comes, byte for byte as it was sent."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from cds.fhir.http import Http, NeverAsked, Response, askable, faults_told, up_to


class Streamed:
    """An answer of which only the head has been read."""

    def __init__(self, response: Response) -> None:
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self._response = response

    def chunks(self) -> AsyncIterator[bytes]:
        """The body as it was sent, packed if it was."""
        return self._response.aiter_raw()

    async def beginning(self, limit: int) -> bytes:
        """The first `limit` unpacked bytes of the body."""
        return await up_to(limit, self._response)


@asynccontextmanager
async def streamed(http: Http, url: str, *, headers: Mapping[str, str], seconds: float) -> AsyncIterator[Streamed]:
    """GET a URL; `seconds` is how long the connection, and then each next piece, may take.

    Raises DataUnavailable, without the URL, when there is no answer or it is cut off, also while its body is read;
    NeverAsked where that will not pass.
    """
    if not askable(url):
        raise NeverAsked("this is no URL that may be asked")
    async with faults_told(), http.stream("GET", url, headers=dict(headers), timeout=seconds) as response:
        yield Streamed(response)
