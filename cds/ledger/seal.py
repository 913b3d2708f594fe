"""The keys of the ledger: they seal what could name a person, and make the pseudonym that stands in its place."""

import base64
import binascii
import contextlib
import hashlib
import hmac
import os
import secrets
import stat
from pathlib import Path
from typing import Literal, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from cds.errors import LedgerSealed, SiteError

SEAL, PSEUDONYM = 32, 32  # bytes of each half of a key
KEY_ID, NONCE = 4, 12  # bytes in front of every sealed value

Purpose = Literal["pseudonym", "row", "link", "head"]
_PURPOSES: tuple[Purpose, ...] = ("pseudonym", "row", "link", "head")


def key_id(key: bytes) -> bytes:
    """Four bytes that tell keys apart and tell nothing about them."""
    return hashlib.sha256(key).digest()[:KEY_ID]


class Keyring:
    """AES-256-GCM under the current key; older keys only open. The other half outlives every rotation.

    As text (`BEDSIDE_LEDGER_KEY`): base64url of 64 bytes, 32 to seal and 32 for pseudonyms and chain; after a rotation
    "new,old", where both share the second half.
    """

    __slots__ = ("_ciphers", "_keyed", "_keys", "_secret", "current_id")

    def __init__(self, current: bytes, older: tuple[bytes, ...] = (), *, pseudonym: bytes) -> None:
        if any(len(key) != SEAL for key in (current, *older)) or len(pseudonym) != PSEUDONYM:
            raise SiteError("a ledger key has two halves of 32 bytes each")
        self._keys = (current, *older)
        self._secret = pseudonym
        self._ciphers = {key_id(key): AESGCM(key) for key in self._keys}
        self._keyed = {purpose: HMAC(_derived(pseudonym, purpose), SHA256()) for purpose in _PURPOSES}
        self.current_id = key_id(current)

    def __repr__(self) -> str:
        return f"<Keyring {self.current_id.hex()}, {len(self._keys) - 1} older>"

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a Keyring is not pickled")

    @classmethod
    def generate(cls) -> Self:
        return cls(secrets.token_bytes(SEAL), pseudonym=secrets.token_bytes(PSEUDONYM))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads the text form. An error says which part is wrong, never what stood there."""
        parts = [_decoded(part.strip(), number) for number, part in enumerate(text.split(","), start=1)]
        if any(not hmac.compare_digest(part[SEAL:], parts[0][SEAL:]) for part in parts):
            raise SiteError("the ledger's keys have different second halves: the same patient would get two pseudonyms")
        return cls(parts[0][:SEAL], tuple(part[:SEAL] for part in parts[1:]), pseudonym=parts[0][SEAL:])

    @classmethod
    def from_file(cls, path: Path, *, create: bool = False) -> Self:
        """Reads the key's file. With `create` (the demo) an absent file is made, readable by its owner only."""
        if create and not path.exists():
            _write_private(path, cls.generate().text())
        try:
            with path.open(encoding="ascii") as file:
                if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & stat.S_IRWXO:
                    raise SiteError(f"{path}: everybody can read the ledger's key; chmod 600 it")
                return cls.parse(file.read())
        except (OSError, UnicodeDecodeError):
            raise SiteError(f"{path}: the ledger's key cannot be read") from None

    def text(self) -> str:
        """The secret itself, for the key's file or a secret store: print it nowhere else."""
        return ",".join(base64.urlsafe_b64encode(key + self._secret).decode().rstrip("=") for key in self._keys)

    def rotated(self) -> Self:
        """The next keyring: a fresh key to seal with, this one's keys to open, the same pseudonyms."""
        return type(self)(secrets.token_bytes(SEAL), self._keys, pseudonym=self._secret)

    def alone(self) -> Self:
        """The current key without the older ones, for when every row has been resealed."""
        return type(self)(self._keys[0], pseudonym=self._secret)

    def same_pseudonyms(self, other: Self) -> bool:
        return hmac.compare_digest(self._secret, other._secret)

    def pseudonym(self, tenant: str, patient: str) -> str:
        """The same for the same patient of a tenant, for ever; without the key it leads back to nobody."""
        return self.mac("pseudonym", f"{tenant}|{patient}".encode()).hex()

    def mac(self, purpose: Purpose, message: bytes) -> bytes:
        """32 bytes that nobody without the key can make; no purpose's key tells anything about another's."""
        keyed = self._keyed[purpose].copy()  # copied, not made anew: it stands on the road of every answer
        keyed.update(message)
        return keyed.finalize()

    @staticmethod
    def same(one: str, other: str) -> bool:
        """Compares two MACs in hex, in constant time."""
        return hmac.compare_digest(one.encode(), other.encode())

    def seal(self, plain: bytes, bound: bytes) -> bytes:
        """`bound` is what the value belongs to: put anywhere else, it does not open."""
        nonce = os.urandom(NONCE)
        return self.current_id + nonce + self._ciphers[self.current_id].encrypt(nonce, plain, bound)

    def knows(self, sealed: bytes) -> bool:
        """Whether the key that sealed it is on the ring."""
        return sealed[:KEY_ID] in self._ciphers

    def open(self, sealed: bytes, bound: bytes) -> bytes:
        cipher = self._ciphers.get(sealed[:KEY_ID])
        if cipher is None:
            raise LedgerSealed(f"sealed under key {sealed[:KEY_ID].hex()}, which is not among the ledger's keys")
        try:
            return cipher.decrypt(sealed[KEY_ID : KEY_ID + NONCE], sealed[KEY_ID + NONCE :], bound)
        except (InvalidTag, ValueError):
            raise LedgerSealed("a sealed value was altered or moved from another row: it does not open") from None


def _derived(secret: bytes, purpose: Purpose) -> bytes:
    return HKDF(SHA256(), 32, salt=None, info=f"bedside ledger {purpose}".encode()).derive(secret)


def _decoded(part: str, number: int) -> bytes:
    try:
        raw = base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != SEAL + PSEUDONYM:
        raise SiteError(f"the ledger's key, part {number}: not the base64url of {SEAL + PSEUDONYM} bytes")
    return raw


def _write_private(path: Path, text: str) -> None:
    # Written whole beside its place and then linked: another process of the demo sees no key or all of it.
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):  # the other process was first: its key counts
            os.link(draft, path)
    except OSError:
        raise SiteError(f"{path}: the ledger's key cannot be written") from None
    finally:
        draft.unlink(missing_ok=True)
