"""Credentials at rest: sealed with AES-256-GCM for one account and field."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import tempfile
from collections.abc import Iterator, Mapping
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
MOST_KEYS = 4
"""Keys at once: the newest, and those that sealed what it hasn't sealed anew yet."""


class SecretsError(Exception):
    """A credential can't be sealed or opened. The text says what to do, and holds no secret."""


class Vault:
    """Seals credentials under the newest of its keys, and opens what any of them sealed.

    A sealed value is: format (1 byte), key id (4), nonce (12, random), ciphertext and tag. `aad` names what
    the value is for (see `purpose`); a value moved to another place doesn't open there.
    """

    def __init__(self, *materials: bytes) -> None:
        """`materials`, the newest first, are uniformly random, or come from `stretched`."""
        self._keys = tuple(_Key(material) for material in materials)

    @property
    def key_id(self) -> str:
        """Names the newest key without telling anything about it: stored beside what it sealed."""
        return self._held()[0].id.hex()

    @property
    def key_ids(self) -> tuple[str, ...]:
        """The ids of all keys, the newest first."""
        return tuple(key.id.hex() for key in self._held())

    def seal(self, plain: bytes, aad: str) -> bytes:
        """Encrypt `plain` for the place that `aad` names."""
        key = self._held()[0]
        nonce = os.urandom(_NONCE_BYTES)
        head = _FORMAT + key.id
        return head + nonce + key.cipher.encrypt(nonce, plain, head + aad.encode())

    def open(self, sealed: bytes, aad: str) -> bytes:
        """Decrypt what `seal` made for the same place. Raises `SecretsError`."""
        head, nonce, body = sealed[:5], sealed[5 : 5 + _NONCE_BYTES], sealed[5 + _NONCE_BYTES :]
        if head[:1] != _FORMAT:
            raise SecretsError(
                f"The stored credential for {aad} has a format that this version doesn't know. Run the contactsync "
                "version that stored it, or authorize the account again."
            )
        key = next((key for key in self._held() if key.id == head[1:]), None)
        if key is None:
            held = self.key_ids
            there = f"this one is {held[0]}" if len(held) == 1 else f"these are {', '.join(held)}"
            raise SecretsError(
                f"The stored credential for {aad} was sealed with another key ({head[1:].hex()}, {there}). "
                "Put that key back (CONTACTSYNC_SECRET_KEY, or secret.key in the data folder), or "
                "authorize the account again."
            )
        try:
            return key.cipher.decrypt(nonce, body, head + aad.encode())
        except (InvalidTag, ValueError):
            raise SecretsError(
                f"The stored credential for {aad} is damaged or belongs elsewhere. Authorize the account again."
            ) from None

    def digest(self, plain: bytes, aad: str) -> bytes:
        """A keyed digest that tells whether a value changed, without telling the value (32 bytes): the newest key's."""
        return self._held()[0].digest(plain, aad)

    def digests(self, plain: bytes, aad: str) -> Mapping[str, bytes]:
        """The digests that `digest` gave while each of the keys was the newest: key id -> digest."""
        return {key.id.hex(): key.digest(plain, aad) for key in self._held()}

    def _held(self) -> tuple[_Key, ...]:
        return self._keys


class _Key:
    """What is made of one key's material."""

    def __init__(self, material: bytes) -> None:
        self.cipher = AESGCM(_derived(material, b"seal"))
        self._digest_key = _derived(material, b"digest")
        self.id = _derived(material, b"id")[:_ID_BYTES]

    def digest(self, plain: bytes, aad: str) -> bytes:
        return hmac.new(self._digest_key, aad.encode() + b"\0" + plain, hashlib.sha256).digest()


class FileVault(Vault):
    """The vault of a key file: when the file gets other keys, a running process has them at once."""

    def __init__(self, file: KeyFile) -> None:
        self._file = file
        self._seen = file.state()
        super().__init__(*file.read())

    def _held(self) -> tuple[_Key, ...]:
        # Without the file, or with a broken one, those who run go on with what they have.
        with contextlib.suppress(OSError, SecretsError):
            if (state := self._file.state()) != self._seen:
                self._keys, self._seen = tuple(map(_Key, self._file.read())), state
        return self._keys


def purpose(account: str, field: str) -> str:
    """The `aad` of an account's field. A length keeps `a/b` + `c` from meaning `a` + `b/c`."""
    return f"{account}/{field} ({len(account)})"


def vault(secret_key: str | None, data_dir: Path, *, bundled_store: bool) -> Vault:
    """The installation's vault.

    In: the key that was set, if any, or a key per line, the newest first; the data folder; whether the bundled
    PostgreSQL is used. Without a key, one is made in `<data_dir>/secret.key` (mode 0600), beside the data that it
    protects; a PostgreSQL of one's own outlives this folder, so there a key is required. Raises `SecretsError`.
    """
    if secret_key is not None:
        texts = list(dict.fromkeys(filter(None, map(str.strip, secret_key.splitlines())))) or [""]
        if len(texts) > MOST_KEYS:
            raise SecretsError(
                f"CONTACTSYNC_SECRET_KEY holds {len(texts)} keys, a line each, and may hold {MOST_KEYS}. `contactsync "
                "keys rotate` seals everything with the first; then the others can be taken out."
            )
        return Vault(*map(stretched, texts))
    if not bundled_store:
        raise SecretsError(
            "CONTACTSYNC_SECRET_KEY isn't set. With a PostgreSQL of your own the credentials in it are sealed with "
            "that key: set it to a long random text (`openssl rand -base64 32`), the same wherever contactsync runs, "
            "and keep a copy."
        )
    file = key_file(data_dir)
    file.make()
    return FileVault(file)


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


def key_file(data_dir: Path) -> KeyFile:
    """Where the key of a bundled store is."""
    return KeyFile(data_dir / "secret.key")


class KeyFile:
    """A file of keys, the newest first: 32 random bytes each, several only while they are rotated."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def make(self) -> None:
        """Make it with one key, unless it is there."""
        if self._path.exists():
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._written(os.urandom(_KEY_BYTES)) as made:
            # Unlike a rename, a link never replaces a key that another process has just made.
            with contextlib.suppress(FileExistsError):
                os.link(made, self._path)
            made.unlink()

    def add(self) -> None:
        """Put a new key before those that are there. Raises `SecretsError`."""
        self._replace(os.urandom(_KEY_BYTES), *self.read())

    def keep_newest(self) -> None:
        """Forget all keys but the newest. Raises `SecretsError`."""
        self._replace(self.read()[0])

    def state(self) -> tuple[int, int, int]:
        """What changes when the file does. Raises `OSError`."""
        found = self._path.stat()
        return found.st_ino, found.st_mtime_ns, found.st_size

    def read(self) -> tuple[bytes, ...]:
        """The keys in it. Raises `SecretsError`."""
        path = self._path
        try:
            if path.stat().st_mode & 0o077:
                raise SecretsError(f"Others can read the key file {path}. Close it (chmod 600), then start again.")
            raw = path.read_bytes()
        except FileNotFoundError:
            raise SecretsError(f"The key file {path} is gone. Put a copy of it there.") from None
        except PermissionError:
            raise SecretsError(f"The key file {path} can't be read. Run contactsync as the file's owner.") from None
        keys = tuple(raw[start : start + _KEY_BYTES] for start in range(0, len(raw), _KEY_BYTES))
        if len(raw) % _KEY_BYTES or not 0 < len(keys) <= MOST_KEYS:
            raise SecretsError(
                f"The key file {path} has {len(raw)} bytes instead of {_KEY_BYTES}. Put a copy of the right one there; "
                "without it, remove the file and authorize the accounts again."
            )
        return keys

    def _replace(self, *keys: bytes) -> None:
        before = self._path.stat()
        with self._written(b"".join(keys)) as made:
            if os.geteuid() == 0:  # a person may rotate as root what runs as somebody else
                os.chown(made, before.st_uid, before.st_gid)
            made.replace(self._path)

    @contextlib.contextmanager
    def _written(self, content: bytes) -> Iterator[Path]:
        """A file beside it, on the disk; what becomes of its name is, too, afterwards."""
        descriptor, name = tempfile.mkstemp(prefix="secret-", dir=self._path.parent)  # made with mode 0600
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            yield Path(name)
        finally:
            Path(name).unlink(missing_ok=True)
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
