"""Takes a compact JWS apart, strictly and cheaply, before any key is looked at."""

import re
from base64 import urlsafe_b64decode
from json import JSONDecoder
from typing import Any, TypeVar

from msgspec import UNSET, MsgspecError, Struct, UnsetType
from msgspec.json import Decoder

from cds.trust.refused import NotTrusted, Reason
from cds.trust.urls import NAME

TOKEN_BYTES = 8 * 1024

# A key that the token brings along, or an extension that changes what is signed (RFC 7515, RFC 7797): not looked into.
_REFUSED = frozenset({"jwk", "x5u", "x5c", "crit", "b64", "enc", "zip"})

_COMPACT = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")

T = TypeVar("T")


class Header(Struct, frozen=True, gc=False):
    alg: str
    kid: str
    typ: str | UnsetType = UNSET
    jku: str | UnsetType = UNSET


class Claims(Struct, frozen=True, gc=False):
    """What CDS Hooks asks of a token (C101), with RFC 7519's `nbf` and `sub`. A number is never a boolean or NaN."""

    iss: str
    aud: str | list[str]
    exp: int | float
    iat: int | float
    jti: str
    nbf: int | float | UnsetType = UNSET
    sub: str | UnsetType = UNSET
    tenant: str | UnsetType = UNSET


class Compact(Struct, frozen=True):
    """A token in its parts; nothing of it is verified yet."""

    header: Header
    claims: Claims
    signed: bytes
    signature: bytes


_header = Decoder(Header)
_claims = Decoder(Claims)


def take_apart(token: str) -> Compact:
    """The parts of `header.claims.signature`. Raises NotTrusted for anything else."""
    if len(token) > TOKEN_BYTES:
        raise NotTrusted("too long")
    parts = _COMPACT.fullmatch(token)
    if parts is None:
        raise NotTrusted("not a compact JWS")
    header = _read(_header, parts[1], "unreadable header")
    if header.typ != "JWT":
        raise NotTrusted("typ")
    claims = _read(_claims, parts[2], "unreadable claims")
    if not (_is_name(claims.jti) and (claims.sub is UNSET or _is_name(claims.sub))):
        raise NotTrusted("unreadable claims")
    try:
        signature = urlsafe_b64decode(f"{parts[3]}==")
    except ValueError:
        raise NotTrusted("signature") from None
    return Compact(header, claims, token[: parts.end(2)].encode(), signature)


def _is_name(text: str) -> bool:
    """Short, and without what a log or a database could stumble over."""
    return 0 < len(text) <= NAME and text.isprintable()


def _read(decoder: Decoder[T], part: str, reason: Reason) -> T:
    try:
        text = urlsafe_b64decode(f"{part}==")
        read = decoder.decode(text)
        members = _members.decode(text.decode())
    except (MsgspecError, ValueError, RecursionError):
        raise NotTrusted(reason) from None
    if decoder is _header and not _REFUSED.isdisjoint(members):
        raise NotTrusted("header member refused")
    return read


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A member that stands there twice means one thing to us and perhaps another to whoever signed it."""
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member stands there twice")
    return members


_members = JSONDecoder(object_pairs_hook=_once)
