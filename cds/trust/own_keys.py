"""Keeps the keys with which we sign ourselves, and publishes their public halves early enough to be known."""

import os
import secrets
import stat
from pathlib import Path
from typing import Any, Literal

import structlog
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey
from msgspec import MsgspecError, Struct, json

from cds.errors import SiteError
from cds.trust.ownership import keep_owner

SigningAlgorithm = Literal["ES384", "RS384"]
ALGORITHMS: tuple[SigningAlgorithm, ...] = ("ES384", "RS384")
FILE_NAME = "bedside-keys.json"
RSA_BITS = 3072

Role = Literal["previous", "current", "next"]

log = structlog.get_logger("bedside")


class _Member(Struct, frozen=True):
    """One key pair as the file holds it. The next one is published before it signs, the previous one a while after."""

    role: Role
    alg: SigningAlgorithm
    jwk: dict[str, Any]

    def __repr__(self) -> str:
        return f"_Member({self.role}, {self.alg})"


class _File(Struct, frozen=True):
    keys: list[_Member]


class SigningKey(Struct, frozen=True):
    """A private key, its `kid` and its algorithm; never printed."""

    kid: str
    algorithm: SigningAlgorithm
    key: ECKey | RSAKey

    def __repr__(self) -> str:
        return f"SigningKey({self.kid}, {self.algorithm})"


class OwnKeys:
    """The keys in one file. It is read again when it changes, so that a rotation needs no restart."""

    def __init__(self, path: Path) -> None:
        """Raises SiteError when the file is absent, unreadable, readable by others, or lacks a key."""
        self.path = path
        self._stamp = (-1, -1)
        self._signing: dict[SigningAlgorithm, SigningKey] = {}
        self._public = b""
        self._warned = False
        self._load()

    @classmethod
    def create(cls, path: Path) -> "OwnKeys":
        """A current and a next key of each algorithm, unless the file is there already."""
        if not path.exists():
            _write(path, [_made(role, alg) for alg in ALGORITHMS for role in ("current", "next")])
        return cls(path)

    def signing(self, algorithm: SigningAlgorithm) -> SigningKey:
        """The key that signs now."""
        self._refresh()
        return self._signing[algorithm]

    def public(self) -> bytes:
        """The JWK set to publish: public halves only."""
        self._refresh()
        return self._public

    def rotate(self) -> None:
        """The next key signs from now on, a fresh one follows it, and the one before last is forgotten."""
        members = _read(self.path).keys
        becomes: dict[Role, Role] = {"current": "previous", "next": "current"}
        kept = [_Member(becomes[one.role], one.alg, one.jwk) for one in members if one.role in becomes]
        _write(self.path, [*kept, *(_made("next", alg) for alg in ALGORITHMS)])
        self._load()

    def _refresh(self) -> None:
        try:
            self._load()
        except SiteError as error:  # a file that broke meanwhile stops the next start, not this sign-in
            if not self._warned:
                log.warning("the signing keys cannot be read again: those of before go on signing", why=error.message)
            self._warned = True
        else:
            self._warned = False

    def _load(self) -> None:
        try:
            found = self.path.stat()
        except OSError:
            raise SiteError(f"{self.path}: there are no signing keys; `bedside keys rotate` makes them") from None
        if (stamp := (found.st_ino, found.st_mtime_ns)) == self._stamp:
            return
        members = _read(self.path).keys
        try:
            pairs = [(one, _imported(one)) for one in members]
        except (JoseError, ValueError, TypeError, KeyError):
            raise SiteError(f"{self.path}: a signing key there cannot be used") from None
        signing = {one.alg: SigningKey(one.jwk["kid"], one.alg, key) for one, key in pairs if one.role == "current"}
        if set(signing) != set(ALGORITHMS):
            raise SiteError(f"{self.path}: a current key is missing for {', '.join(set(ALGORITHMS) - set(signing))}")
        self._public = json.encode({"keys": [_public(one, key) for one, key in pairs]})
        self._signing, self._stamp = signing, stamp


def _made(role: Role, algorithm: SigningAlgorithm) -> _Member:
    key = ECKey.generate_key("P-384") if algorithm == "ES384" else RSAKey.generate_key(RSA_BITS)
    return _Member(role, algorithm, {**key.as_dict(private=True), "kid": key.thumbprint()})


def _imported(member: _Member) -> ECKey | RSAKey:
    if not isinstance(member.jwk["kid"], str) or "d" not in member.jwk:
        raise ValueError("a private key with a kid is expected")
    return ECKey.import_key(member.jwk) if member.alg == "ES384" else RSAKey.import_key(member.jwk)


def _public(member: _Member, key: ECKey | RSAKey) -> dict[str, Any]:
    public = key.as_dict(private=False)
    return {**public, "kid": member.jwk["kid"], "alg": member.alg, "use": "sig", "key_ops": ["verify"]}


def _read(path: Path) -> _File:
    try:
        with path.open("rb") as file:
            if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & (stat.S_IRWXG | stat.S_IRWXO):
                raise SiteError(f"{path}: others can read the signing keys; chmod 600 it and rotate them")
            return json.decode(file.read(), type=_File)
    except OSError as error:
        raise SiteError(f"{path}: the signing keys cannot be read: {error.strerror}") from None
    except (MsgspecError, UnicodeDecodeError):
        raise SiteError(f"{path}: this is no file of signing keys") from None


def _write(path: Path, members: list[_Member]) -> None:
    """Whole beside its place, then moved there: who reads meets the old keys or the new, never half."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            keep_owner(file.fileno(), path)
            file.write(json.encode(_File(members)))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        raise SiteError(f"{path}: the signing keys cannot be written: {error.strerror}") from None
    finally:
        draft.unlink(missing_ok=True)
