"""Turns a JWK set into public keys that can verify, and leaves out every key that should not."""

from base64 import urlsafe_b64decode
from collections import Counter
from collections.abc import Mapping
from typing import Any, Literal, get_args

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey
from joserfc.jws import JWSRegistry
from msgspec import MsgspecError, Struct, json

Algorithm = Literal["ES256", "ES384", "RS256", "RS384", "PS384"]
"""What a site may choose from: asymmetric, and each bound to one kind of key."""

SET_BYTES = 64 * 1024
KEYS_IN_SET = 20
RSA_BITS = range(2048, 8192 + 1)  # a larger key is a way to make us compute

_CURVES = {"P-256": "ES256", "P-384": "ES384"}
_RSA = ("RS256", "RS384", "PS384")
_MODELS = {name: JWSRegistry(algorithms=get_args(Algorithm)).get_alg(name) for name in get_args(Algorithm)}


class UnusableKeys(Exception):
    """What was offered is no JWK set, is too large, or holds a key that must not stand there."""


class Key(Struct, frozen=True):
    """One public key, imported once, with the algorithms that it may verify."""

    key: ECKey | RSAKey
    algorithms: tuple[str, ...]

    def verifies(self, algorithm: str, message: bytes, signature: bytes) -> bool:
        return _MODELS[algorithm].verify(message, signature, self.key)


class _Set(Struct):
    keys: list[dict[str, Any]]


def read_keys(body: bytes) -> dict[str, Key]:
    """The usable keys of a published set by `kid`. One that we cannot use (RFC 7517, section 5) is passed over.

    Raises UnusableKeys when the whole of it is no JWK set or is over the limits.
    """
    named = [(kid, member) for member in _members(body) if isinstance(kid := member.get("kid"), str) and kid]
    times = Counter(kid for kid, _ in named)
    return {kid: key for kid, member in named if times[kid] == 1 and (key := _key(member)) is not None}


def read_all_keys(body: bytes) -> tuple[tuple[str | None, Key], ...]:
    """As `read_keys`, with the keys that have no name: an issuer of id_tokens with one key need not name it."""
    usable = ((member.get("kid"), _key(member)) for member in _members(body))
    return tuple((kid, key) for kid, key in usable if key is not None and isinstance(kid, str | None))


def _members(body: bytes) -> list[dict[str, Any]]:
    if len(body) > SET_BYTES:
        raise UnusableKeys("the key set is too large")
    try:
        members = json.decode(body, type=_Set).keys
    except (MsgspecError, UnicodeDecodeError, RecursionError):
        raise UnusableKeys("the key set is no JSON object with keys") from None
    if len(members) > KEYS_IN_SET:
        raise UnusableKeys(f"the key set has more than {KEYS_IN_SET} keys")
    return members


def read_own_keys(members: Mapping[str, Any]) -> dict[str, Key]:
    """The keys that a site wrote down itself: here nothing is passed over. Raises UnusableKeys."""
    given = members.get("keys")
    if not isinstance(given, list) or not given or set(members) != {"keys"}:
        raise UnusableKeys("a JWK set is written { keys = [ … ] }, with at least one key")
    if any(isinstance(member, dict) and "d" in member for member in given):
        raise UnusableKeys("this is a private key: take it out and have it replaced, only the public half belongs here")
    keys = read_keys(json.encode(members))
    if len(keys) != len(given):
        raise UnusableKeys(
            "a key cannot be used: each needs its own kid and is EC on P-256 or P-384, or RSA of 2048 to 8192 bits, "
            "for signatures"
        )
    return keys


def _key(member: dict[str, Any]) -> Key | None:
    """None for a key of another kind, for another use, too weak, malformed, or published with its private half."""
    if "d" in member or member.get("use", "sig") != "sig":
        return None
    try:
        if "verify" not in member.get("key_ops", ["verify"]):
            return None
        key = _ec(member) if member.get("kty") == "EC" else _rsa(member) if member.get("kty") == "RSA" else None
    except (JoseError, ValueError, TypeError, KeyError, OverflowError):
        return None
    if key is None or "alg" not in member:
        return key
    return Key(key.key, (member["alg"],)) if member["alg"] in key.algorithms else None


def _ec(member: dict[str, Any]) -> Key | None:
    if member.get("crv") not in _CURVES:
        return None
    key = ECKey.import_key({name: member[name] for name in ("kty", "crv", "x", "y")})
    return Key(key, (_CURVES[key.curve_name],))


def _rsa(member: dict[str, Any]) -> Key | None:
    modulus = int.from_bytes(urlsafe_b64decode(f"{member['n']}=="))
    if modulus.bit_length() not in RSA_BITS:
        return None
    return Key(RSAKey.import_key({name: member[name] for name in ("kty", "n", "e")}), _RSA)
