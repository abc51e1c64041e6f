"""Credentials at rest: sealed with AES-256-GCM for one account and field."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import tempfile
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

_FORMAT = b"\x01"
_NONCE_BYTES = 12  # NIST SP 800-38D, section 5.2.1.1
_KEY_BYTES = 32
_ID_BYTES = 4
_SHORTEST = 16
_SALT = b"contactsync credentials v1"


class SecretsError(Exception):
    """A credential can't be sealed or opened. The text says what to do, and holds no secret."""


class Vault:
    """Seals and opens credentials under one key.

    A sealed value is: format (1 byte), key id (4), nonce (12, random), ciphertext and tag. `aad` names what
    the value is for (see `purpose`); a value moved to another place doesn't open there.
    """

    def __init__(self, material: bytes) -> None:
        """`material` is uniformly random, or comes from `stretched`."""
        self._cipher = AESGCM(_derived(material, b"seal"))
        self._digest_key = _derived(material, b"digest")
        self._id = _derived(material, b"id")[:_ID_BYTES]

    @property
    def key_id(self) -> str:
        """Names the key without telling anything about it: stored beside what it sealed."""
        return self._id.hex()

    def seal(self, plain: bytes, aad: str) -> bytes:
        """Encrypt `plain` for the place that `aad` names."""
        nonce = os.urandom(_NONCE_BYTES)
        head = _FORMAT + self._id
        return head + nonce + self._cipher.encrypt(nonce, plain, head + aad.encode())

    def open(self, sealed: bytes, aad: str) -> bytes:
        """Decrypt what `seal` made for the same place. Raises `SecretsError`."""
        head, nonce, body = sealed[:5], sealed[5 : 5 + _NONCE_BYTES], sealed[5 + _NONCE_BYTES :]
        if head[:1] != _FORMAT:
            raise SecretsError(
                f"The stored credential for {aad} has a format that this version doesn't know. Run the contactsync "
                "version that stored it, or authorize the account again."
            )
        if head[1:] != self._id:
            raise SecretsError(
                f"The stored credential for {aad} was sealed with another key ({head[1:].hex()}, this one is "
                f"{self.key_id}). Put that key back (CONTACTSYNC_SECRET_KEY, or secret.key in the data folder), or "
                "authorize the account again."
            )
        try:
            return self._cipher.decrypt(nonce, body, head + aad.encode())
        except (InvalidTag, ValueError):
            raise SecretsError(
                f"The stored credential for {aad} is damaged or belongs elsewhere. Authorize the account again."
            ) from None

    def digest(self, plain: bytes, aad: str) -> bytes:
        """A keyed digest that tells whether a value changed, without telling the value (32 bytes)."""
        return hmac.new(self._digest_key, aad.encode() + b"\0" + plain, hashlib.sha256).digest()


def purpose(account: str, field: str) -> str:
    """The `aad` of an account's field. A length keeps `a/b` + `c` from meaning `a` + `b/c`."""
    return f"{account}/{field} ({len(account)})"


def vault(secret_key: str | None, data_dir: Path, *, bundled_store: bool) -> Vault:
    """The installation's vault.

    In: the key that was set, if any; the data folder; whether the bundled PostgreSQL is used. Without a key,
    one is made in `<data_dir>/secret.key` (mode 0600), beside the data that it protects; a PostgreSQL of
    one's own outlives this folder, so there a key is required. Raises `SecretsError`.
    """
    if secret_key is not None:
        return Vault(stretched(secret_key))
    if not bundled_store:
        raise SecretsError(
            "CONTACTSYNC_SECRET_KEY isn't set. With a PostgreSQL of your own the credentials in it are sealed with "
            "that key: set it to a long random text (`openssl rand -base64 32`), the same wherever contactsync runs, "
            "and keep a copy."
        )
    return Vault(_key_file(data_dir / "secret.key"))


def stretched(secret_key: str) -> bytes:
    """Key material from a text of 16 characters or more. About 50 ms and 32 MiB. Raises `SecretsError`.

    scrypt and not HKDF, because people choose texts that can be guessed. The salt is fixed, so that every
    process with the same text has the same key: it only keeps tables made for other programs from fitting.
    Parameters: RFC 7914, section 2 (https://www.rfc-editor.org/rfc/rfc7914).
    """
    if len(secret_key) < _SHORTEST:
        raise SecretsError(
            f"CONTACTSYNC_SECRET_KEY has {len(secret_key)} characters and needs at least {_SHORTEST}. A good one: "
            "`openssl rand -base64 32`."
        )
    return Scrypt(salt=_SALT, length=_KEY_BYTES, n=2**15, r=8, p=1).derive(secret_key.encode())


def _derived(material: bytes, use: bytes) -> bytes:
    return HKDF(algorithm=hashes.SHA256(), length=_KEY_BYTES, salt=_SALT, info=use).derive(material)


def _key_file(path: Path) -> bytes:
    with contextlib.suppress(FileNotFoundError):
        return _read_key(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix="secret-", dir=path.parent)  # made with mode 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(os.urandom(_KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        # Unlike a rename, a link never replaces a key that another process has just made.
        with contextlib.suppress(FileExistsError):
            os.link(name, path)
    finally:
        Path(name).unlink()
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return _read_key(path)


def _read_key(path: Path) -> bytes:
    try:
        if path.stat().st_mode & 0o077:
            raise SecretsError(f"Others can read the key file {path}. Close it (chmod 600), then start again.")
        key = path.read_bytes()
    except PermissionError:
        raise SecretsError(f"The key file {path} can't be read. Run contactsync as the file's owner.") from None
    if len(key) != _KEY_BYTES:
        raise SecretsError(
            f"The key file {path} has {len(key)} bytes instead of {_KEY_BYTES}. Put a copy of the right one there; "
            "without it, remove the file and authorize the accounts again."
        )
    return key
