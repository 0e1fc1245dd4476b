"""Secrets: keys hashed for look-up, provider credentials sealed for storage, what browsers carry signed.

Every key comes from `SECRET_KEY` by HKDF, so one setting protects the installation and no key
can be used in another's place. The vault is a ring: what an earlier `SECRET_KEY` hashed, sealed
or signed goes on working while that one is in `SECRET_KEY_PREVIOUS`; what is new is made with
the newest.
"""

import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

UNNUMBERED_PEPPER = 1
"""What hashes carry that were made before a pepper had a number of its own."""
_FORMAT = 1
_HEAD = 5
_WRAPPED = 40
_NONCE = 12


class CannotOpen(Exception):
    """A sealed secret does not open with this installation's `SECRET_KEY`, nor with an earlier one that is given."""


@dataclass(frozen=True, slots=True)
class Keys:
    """What one `SECRET_KEY` becomes. The key itself is never kept."""

    pepper: bytes = field(repr=False)
    master: bytes = field(repr=False)
    signer: bytes = field(repr=False)

    @classmethod
    def of(cls, secret_key: str) -> "Keys":
        """Derive the keys."""
        purposes = (b"api-key pepper 1", b"credential master 1", b"signer 1")
        return cls(*(_derive(secret_key, purpose) for purpose in purposes))

    @property
    def key_id(self) -> bytes:
        """Four bytes that tell which master key sealed a secret."""
        return sha256(self.master).digest()[:4]

    @property
    def pepper_version(self) -> int:
        """The number, stored beside each hash, that tells which pepper is in it."""
        return int.from_bytes(sha256(self.pepper).digest()[:4]) >> 1

    def sign(self, purpose: bytes, message: bytes) -> bytes:
        return hmac.digest(hmac.digest(self.signer, purpose, "sha256"), message, "sha256")


@dataclass(frozen=True, slots=True)
class Vault:
    """Hashes API keys, seals secrets, signs for a purpose: with the newest key, recognising those of all."""

    newest: Keys
    older: tuple[Keys, ...] = ()

    @classmethod
    def of(cls, secret_key: str, previous: Sequence[str] = ()) -> "Vault":
        """Make the ring of the installation's secret and those before it, newest first."""
        return cls(Keys.of(secret_key), tuple(Keys.of(one) for one in previous))

    @property
    def ring(self) -> tuple[Keys, ...]:
        """All keys, newest first."""
        return (self.newest, *self.older)

    @property
    def key_id(self) -> bytes:
        """Four bytes that tell which master key seals."""
        return self.newest.key_id

    def hash_key(self, token: bytes) -> bytes:
        """Hash a whole API key with the pepper, 32 bytes.

        Keys have full entropy, so a slow hash would buy nothing; look-up by hash is also what
        keeps the comparison free of timing.
        """
        return hmac.digest(self.newest.pepper, token, "sha256")

    def older_hashes(self, token: bytes) -> list[bytes]:
        """Hash an API key as earlier peppers did: what it is stored as when it is older than the newest."""
        return [hmac.digest(keys.pepper, token, "sha256") for keys in self.older]

    def sign(self, purpose: bytes, message: bytes) -> bytes:
        """Authenticate a message for one purpose, 32 bytes; a signature for another purpose never matches."""
        return self.newest.sign(purpose, message)

    def signatures(self, purpose: bytes, message: bytes) -> list[bytes]:
        """Make every signature that counts for a message, the newest first."""
        return [keys.sign(purpose, message) for keys in self.ring]

    def seal(self, plain: str, context: bytes) -> bytes:
        """Encrypt under a fresh data key that the master key wraps; `context` must match on opening."""
        data_key, nonce = secrets.token_bytes(32), secrets.token_bytes(_NONCE)
        sealed = AESGCM(data_key).encrypt(nonce, plain.encode(), context)
        return self._wrap(data_key) + nonce + sealed

    def open(self, sealed: bytes, context: bytes) -> str:
        """Decrypt; raise `CannotOpen` for another installation's secret or another context."""
        data_key, rest = self._unwrap(sealed), sealed[_HEAD + _WRAPPED :]
        try:
            return AESGCM(data_key).decrypt(rest[:_NONCE], rest[_NONCE:], context).decode()
        except InvalidTag as error:
            raise CannotOpen("the sealed secret is damaged or belongs elsewhere") from error

    def is_newest(self, sealed: bytes) -> bool:
        """Tell whether the newest key sealed a secret."""
        return sealed[1:_HEAD] == self.key_id

    def reseal(self, sealed: bytes) -> bytes:
        """Wrap the data key of a sealed secret with the newest master key. Needs no context: the rest stays.

        Raise `CannotOpen` when none of the keys wrapped it.
        """
        return self._wrap(self._unwrap(sealed)) + sealed[_HEAD + _WRAPPED :]

    def _wrap(self, data_key: bytes) -> bytes:
        return bytes([_FORMAT]) + self.key_id + aes_key_wrap(self.newest.master, data_key)

    def _unwrap(self, sealed: bytes) -> bytes:
        master = next((keys.master for keys in self.ring if keys.key_id == sealed[1:_HEAD]), None)
        if sealed[:1] != bytes([_FORMAT]) or master is None:
            raise CannotOpen("the secret was sealed with another SECRET_KEY")
        try:
            return aes_key_unwrap(master, sealed[_HEAD : _HEAD + _WRAPPED])
        except InvalidUnwrap as error:
            raise CannotOpen("the sealed secret is damaged or belongs elsewhere") from error


@dataclass(slots=True)
class Resealing:
    """What became of stored secrets: how many were sealed anew, how many were up to date, and which no key opens."""

    done: int = 0
    kept: int = 0
    lost: list[str] = field(default_factory=list)

    def renewed(self, vault: Vault, sealed: bytes, name: str) -> bytes:
        """Seal a secret with the newest key and count it; one that is so already, or cannot be opened, stays."""
        try:
            renewed = vault.reseal(sealed)
        except CannotOpen:
            self.lost.append(name)
            return sealed
        if vault.is_newest(sealed):
            self.kept += 1
            return sealed
        self.done += 1
        return renewed

    def add(self, other: "Resealing", place: str) -> None:
        """Take in what became of the secrets of a place."""
        self.done += other.done
        self.kept += other.kept
        self.lost += [place + name for name in other.lost]


def _derive(secret_key: str, purpose: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=b"llm-gateway " + purpose).derive(secret_key.encode())
