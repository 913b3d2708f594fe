"""Reads a request's body within the limit, whatever its headers claim."""

from starlette.requests import Request

from cds.errors import RequestTooLarge, UnsupportedMedia

_JSON = (b"application/json", b"application/fhir+json")


async def read_body(request: Request, limit: int) -> bytes:
    """The body. Raises UnsupportedMedia (415) when it is not plain JSON, RequestTooLarge (413) over `limit` bytes.

    A browser may send any page's bytes here unasked when they have no type: with an Origin the type must be named.
    """
    length = _check_headers(request)
    if length is not None and length > limit:
        raise RequestTooLarge(f"the body is over {limit} bytes")
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise RequestTooLarge(f"the body is over {limit} bytes")
        chunks.append(chunk)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _check_headers(request: Request) -> int | None:
    length, typed, browser = None, False, False
    for name, value in request.scope["headers"]:
        if name == b"content-type":
            typed = True
            if value.split(b";", 1)[0].strip().lower() not in _JSON:
                raise UnsupportedMedia("the Content-Type is application/json")
        elif name == b"origin":
            browser = True
        elif name == b"content-encoding" and value.lower() != b"identity":
            raise UnsupportedMedia("an encoded body is not accepted")
        elif name == b"content-length" and value.isdigit():
            length = int(value)
    if browser and not typed:
        raise UnsupportedMedia("the Content-Type is application/json")
    return length
