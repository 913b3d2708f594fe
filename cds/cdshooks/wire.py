"""A CDS Hooks request as it travels: decoded once from bytes, checked, and refused with the member at fault."""

import re
import uuid
from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from cds.cdshooks.context import Context, read_context
from cds.errors import MalformedRequest, RequestTooLarge, UnreadableResource
from cds.fhir.bounds import too_deep, too_long_string, too_many_values
from cds.fhir.resources import Integer, Resource, read_leniently, unreadable

MAX_DEPTH = 64
MAX_VALUES = 200_000
MAX_STRING = 1024 * 1024
MAX_ENTRIES = 10_000
_UUID = re.compile(r"(urn:uuid:)?[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE)


class Authorization(Struct, gc=False, frozen=True):
    """fhirAuthorization. The token lives as long as the request and is never printed: see `__repr__`."""

    access_token: str
    token_type: str
    expires_in: Integer
    scope: str
    subject: str
    patient: str | None = None

    def __repr__(self) -> str:
        return "Authorization(…)"


class Envelope(Struct, gc=False, frozen=True, rename="camel"):
    """A hook call without its prefetch."""

    hook: str | None = None
    hook_instance: str | None = None
    fhir_server: str | UnsetType | None = UNSET
    fhir_authorization: msgspec.Raw = msgspec.Raw()
    context: msgspec.Raw = msgspec.Raw()
    extension: Any = None


class Request(Envelope, gc=False, frozen=True, rename="camel"):
    """One hook call. `prefetch` holds resources, Bundles, or None where the client looked and found nothing."""

    prefetch: dict[str, Resource | None] | None = None


class LooseRequest(Envelope, gc=False, frozen=True, rename="camel"):
    """A hook call whose prefetch is still plain JSON: for a second look at what did not fit."""

    prefetch: Any = None


class Call(Struct, frozen=True):
    """A checked request: what a service may rely on."""

    hook: str
    hook_instance: str
    context: Context
    prefetch: dict[str, Resource | None]
    fhir_server: str | None
    authorization: Authorization | None
    extension: dict[str, Any]
    digestible: tuple[bytes, bytes]
    """The body, and the fhirAuthorization within it that a digest must leave out."""

    @property
    def patient_id(self) -> str:
        return self.context.patient_id or ""


def page_call(
    patient_id: str,
    *,
    user: str | None,
    encounter_id: str | None,
    fhir_server: str,
    token: str,
    scope: str,
    expires_in: int,
) -> Call:
    """What a page asks about its patient, as a call with nothing prefetched: all is read with the session's token."""
    instance = str(uuid.uuid4())
    return Call(
        hook="patient-view",
        hook_instance=instance,
        context=Context(user, patient_id, encounter_id),
        prefetch={},
        fhir_server=fhir_server.rstrip("/"),
        authorization=Authorization(token, "Bearer", expires_in, scope, "", patient_id),
        extension={},
        digestible=(instance.encode(), b""),
    )


_decoder = msgspec.json.Decoder(Request)
_loose_decoder = msgspec.json.Decoder(LooseRequest)
_authorization = msgspec.json.Decoder(Authorization | None)


def read_call(
    body: bytes, hooks: frozenset[str], *, asked: frozenset[str] | None = None, lenient: bool = False
) -> Call:
    """Decode and check one request for a service that advertises `hooks` and asks for the prefetch keys `asked`.

    Raises MalformedRequest (400) that names the member, or RequestTooLarge (413). `lenient` takes what known clients
    send outside the rules: a hookInstance that is no UUID, wrapped or listed prefetch, null where absent is meant.
    """
    check_bounds(body)
    check_utf8(body)
    request = _decode(body, asked, lenient)
    if not lenient:
        _refuse_nulls(request)
    hook = _required(request.hook, "hook")
    if hook not in hooks:
        raise MalformedRequest(f"this service answers {', '.join(sorted(hooks))}", "hook")
    instance = _required(request.hook_instance, "hookInstance")
    if not lenient and not _UUID.fullmatch(instance):
        raise MalformedRequest("hookInstance is not a UUID", "hookInstance")
    context = read_context(bytes(request.context), hook, lenient)
    authorization = _checked_authorization(request)
    _count_entries(request.prefetch or {})
    return Call(
        hook=hook,
        hook_instance=instance.lower().removeprefix("urn:uuid:"),
        context=context,
        prefetch=request.prefetch or {},
        fhir_server=request.fhir_server or None,
        authorization=authorization,
        extension=request.extension if isinstance(request.extension, dict) else {},
        digestible=(body, bytes(request.fhir_authorization)),
    )


def check_bounds(body: bytes) -> None:
    """Raises MalformedRequest (400) for JSON that nests too deeply, RequestTooLarge (413) for too much of it (R14)."""
    if too_deep(body, MAX_DEPTH):
        raise MalformedRequest(f"JSON nests deeper than {MAX_DEPTH} levels")
    if too_many_values(body, MAX_VALUES):
        raise RequestTooLarge(f"the body holds more than {MAX_VALUES} values")
    if too_long_string(body, MAX_STRING):
        raise RequestTooLarge(f"the body holds a string of more than {MAX_STRING} bytes")


def check_utf8(body: bytes) -> None:
    """Raises MalformedRequest when a body is not UTF-8: the decoder looks only at the strings that it keeps."""
    if not body.isascii():
        try:
            body.decode()
        except UnicodeDecodeError:
            raise MalformedRequest("the body is not UTF-8") from None


def _refuse_nulls(request: Request) -> None:
    """An absent member is left out, never null: only known rude clients, in lenient mode, may do otherwise."""
    if request.fhir_server is None:
        raise MalformedRequest("fhirServer is null: leave it out", "fhirServer")
    if bytes(request.fhir_authorization) == b"null":
        raise MalformedRequest("fhirAuthorization is null: leave it out", "fhirAuthorization")


def _required(value: str | None, member: str) -> str:
    if not value:
        raise MalformedRequest(f"{member} is required", member)
    return value


def _decode(body: bytes, asked: frozenset[str] | None, lenient: bool) -> Request:
    try:
        request = _decoder.decode(body)
        if not (lenient and _wrapped(request)):
            return request
    except msgspec.ValidationError:
        pass
    except msgspec.DecodeError:
        raise MalformedRequest("the body is not JSON") from None
    except (RecursionError, ValueError):
        raise MalformedRequest("the body nests too deeply") from None
    return _decode_slowly(body, asked, lenient)


def _wrapped(request: Request) -> bool:
    return any(value is not None and value.resource_type is None for value in (request.prefetch or {}).values())


def _decode_slowly(body: bytes, asked: frozenset[str] | None, lenient: bool) -> Request:
    """Second look at a body that did not fit: which member is at fault, or a prefetch that can still be read."""
    try:
        loose = _loose_decoder.decode(body)
    except msgspec.ValidationError as fault:
        raise _malformed(fault) from None
    except (msgspec.DecodeError, RecursionError, ValueError):
        raise MalformedRequest("the body is not JSON") from None
    if loose.prefetch is not None and not isinstance(loose.prefetch, dict):
        raise MalformedRequest("prefetch is a JSON object of FHIR resources", "prefetch")
    prefetch: dict[str, Resource | None] = {}
    for key, value in (loose.prefetch or {}).items():
        try:
            prefetch[key] = _value(key, value, lenient)
        except MalformedRequest:
            if asked is None or key in asked:
                raise  # what nobody asked for is ignored (C8, C49)
    return Request(**(msgspec.structs.asdict(loose) | {"prefetch": prefetch}))


def _value(key: str, value: Any, lenient: bool) -> Resource | None:
    if value is None:
        return None
    if lenient and isinstance(value, dict) and "resourceType" not in value and "resource" in value:
        return _value(key, value["resource"], lenient)  # CDS Hooks 0.x wrapped each value with its HTTP response
    if lenient and isinstance(value, list):
        value = {"resourceType": "Bundle", "entry": [{"resource": one} for one in value]}
    try:
        return read_leniently(value)
    except UnreadableResource as fault:
        path = f"prefetch.{key}" + (f".{fault.path}" if fault.path else "")
        raise MalformedRequest(f"{path}: {fault.message}", path) from None


def _malformed(error: msgspec.ValidationError) -> MalformedRequest:
    fault = unreadable(error)
    return MalformedRequest(f"{fault.path or 'body'}: {fault.message}", fault.path or None)


def _count_entries(prefetch: dict[str, Resource | None]) -> None:
    for key, value in prefetch.items():
        if value is not None and value.entry is not None and len(value.entry) > MAX_ENTRIES:
            raise RequestTooLarge(f"prefetch.{key} has more than {MAX_ENTRIES} entries", f"prefetch.{key}")


def _checked_authorization(request: Request) -> Authorization | None:
    raw = request.fhir_authorization
    if bytes(raw) in (b"", b"null"):
        return None
    try:
        authorization: Authorization | None = _authorization.decode(raw)
    except msgspec.ValidationError as fault:
        path = ".".join(filter(None, ("fhirAuthorization", unreadable(fault).path)))
        raise MalformedRequest(f"{path}: {unreadable(fault).message}", path) from None
    if authorization is None:
        return None
    if not request.fhir_server:
        raise MalformedRequest("fhirAuthorization needs fhirServer", "fhirServer")
    if authorization.token_type.lower() != "bearer":
        raise MalformedRequest("fhirAuthorization.token_type is Bearer", "fhirAuthorization.token_type")
    return authorization
