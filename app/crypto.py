"""Secrets: keys hashed for look-up, provider credentials sealed for storage, what browsers carry signed.

Every key comes from `SECRET_KEY` by HKDF, so one setting protects the installation and no key
can be used in another's place.
"""

import hmac
import secrets
from dataclasses import dataclass, field
from hashlib import sha256

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

PEPPER_VERSION = 1
_FORMAT = 1
_WRAPPED = 40
_NONCE = 12


class CannotOpen(Exception):
    """A sealed secret does not open with this installation's `SECRET_KEY`."""


@dataclass(frozen=True, slots=True)
class Vault:
    """Hashes API keys, seals provider secrets, signs for a purpose. `secret_key` is never kept."""

    pepper: bytes = field(repr=False)
    master: bytes = field(repr=False)
    signer: bytes = field(repr=False)

    @classmethod
    def of(cls, secret_key: str) -> "Vault":
        """Derive the keys from the installation's secret."""
        purposes = (b"api-key pepper 1", b"credential master 1", b"signer 1")
        return cls(*(_derive(secret_key, purpose) for purpose in purposes))

    def hash_key(self, token: bytes) -> bytes:
        """Hash a whole API key with the pepper, 32 bytes.

        Keys have full entropy, so a slow hash would buy nothing; look-up by hash is also what
        keeps the comparison free of timing.
        """
        return hmac.digest(self.pepper, token, "sha256")

    def sign(self, purpose: bytes, message: bytes) -> bytes:
        """Authenticate a message for one purpose, 32 bytes; a signature for another purpose never matches."""
        return hmac.digest(hmac.digest(self.signer, purpose, "sha256"), message, "sha256")

    def seal(self, plain: str, context: bytes) -> bytes:
        """Encrypt under a fresh data key that the master key wraps; `context` must match on opening."""
        data_key, nonce = secrets.token_bytes(32), secrets.token_bytes(_NONCE)
        sealed = AESGCM(data_key).encrypt(nonce, plain.encode(), context)
        return bytes([_FORMAT]) + self.key_id + aes_key_wrap(self.master, data_key) + nonce + sealed

    def open(self, sealed: bytes, context: bytes) -> str:
        """Decrypt; raise `CannotOpen` for another installation's secret or another context."""
        if sealed[0] != _FORMAT or sealed[1:5] != self.key_id:
            raise CannotOpen("the secret was sealed with another SECRET_KEY")
        wrapped, rest = sealed[5 : 5 + _WRAPPED], sealed[5 + _WRAPPED :]
        try:
            data_key = aes_key_unwrap(self.master, wrapped)
            return AESGCM(data_key).decrypt(rest[:_NONCE], rest[_NONCE:], context).decode()
        except (InvalidTag, InvalidUnwrap) as error:
            raise CannotOpen("the sealed secret is damaged or belongs elsewhere") from error

    @property
    def key_id(self) -> bytes:
        """Four bytes that tell which master key sealed a secret."""
        return sha256(self.master).digest()[:4]


def _derive(secret_key: str, purpose: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=b"llm-gateway " + purpose).derive(secret_key.encode())
