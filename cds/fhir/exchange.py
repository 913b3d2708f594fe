"""One request to a FHIR server and its whole answer, with what a fault means for trying again."""

import asyncio
import re
from collections.abc import Mapping

import httpx

from cds.errors import DataUnavailable
from cds.fhir.http import Http, up_to

ANSWER_BYTES = 8 * 1024 * 1024


class ServerFailed(Exception):
    """The server, or the way to it, failed. `pause`: seconds it asks for before the next try, when it does.

    `status` and `headers` are its answer's, where there was one.
    """

    def __init__(
        self,
        message: str,
        pause: float | None = None,
        *,
        again: bool = True,
        late: bool = False,
        status: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message, self.pause, self.again, self.late = message, pause, again, late
        self.status, self.headers = status, headers or {}


async def exchange(
    http: Http,
    method: str,
    url: str,
    *,
    headers: dict[str, str],
    content: bytes | None = None,
    seconds: float,
    limit: int = ANSWER_BYTES,
) -> tuple[int, httpx.Headers, bytes]:
    """Status, headers and unpacked body, whatever the status below 500 but 429.

    Raises ServerFailed, which may pass, and DataUnavailable for an answer that nobody can use.
    """
    try:
        async with (
            asyncio.timeout(seconds),
            http.stream(method, url, content=content, headers=headers, timeout=seconds) as response,
        ):
            if response.status_code == 429 or response.status_code >= 500:
                raise _failed(response)
            body = await up_to(limit + 1, response)
    except TimeoutError:
        raise ServerFailed("the FHIR server took too long", late=True) from None
    except httpx.InvalidURL:
        raise DataUnavailable("this is no URL that may be asked") from None
    except httpx.UnsupportedProtocol:
        raise ServerFailed("the FHIR server's name leads to an address that is never asked", again=False) from None
    except httpx.HTTPError as error:
        late = isinstance(error, httpx.TimeoutException)
        raise ServerFailed(f"the FHIR server failed: {type(error).__name__}", late=late) from None
    if len(body) > limit:
        raise DataUnavailable("the FHIR server's answer is too large")
    return response.status_code, response.headers, body


def _failed(response: httpx.Response) -> ServerFailed:
    """A 5xx may be tried again, after the time that it names; a 429 asks us to stop, and we do."""
    said = response.headers.get("retry-after", "")
    pause = float(said) if re.fullmatch(r"[0-9]{1,9}", said) else None
    again = response.status_code != 429 and (not said or pause is not None)
    said_so = f"the FHIR server answered {response.status_code}"
    return ServerFailed(said_so, pause, again=again, status=response.status_code, headers=response.headers)
