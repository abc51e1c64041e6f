"""Pub/Sub's pushes: a key of one's own in the place of Google's, and tokens signed with it."""

import base64
import datetime as dt
import functools
import json

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from services.connectors.google_contacts.sandbox.refusal import Json

KEY_ID = "sandbox-key"


@functools.cache
def _key(number: int) -> rsa.RSAPrivateKey:  # noqa: ARG001 - what it is kept under
    """A key per number: making one takes long."""
    return rsa.generate_private_key(65537, 2048)


class Push:
    """A push subscription of Pub/Sub. Another `number` is another signer."""

    email = "push@project.iam.gserviceaccount.com"
    audience = "https://sync.example.com/hooks/office"

    def __init__(self, number: int = 0) -> None:
        self._key = _key(number)

    @property
    def certificates(self) -> dict[str, str]:
        """What Google publishes: key id -> PEM."""
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sandbox")])
        start = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self._key.public_key())
            .serial_number(1)
            .not_valid_before(start)
            .not_valid_after(start + dt.timedelta(days=36500))
            .sign(self._key, SHA256())
        )
        return {KEY_ID: made.public_bytes(Encoding.PEM).decode()}

    @property
    def private_key(self) -> str:
        """The key in PEM, for other programs that sign."""
        return self._key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()

    def claims(self, now: float, **other: object) -> Json:
        """What a token says at `now` (unix seconds), for an hour; a claim set to None is left out."""
        claims = {
            "iss": "https://accounts.google.com",
            "aud": self.audience,
            "azp": "113",
            "sub": "113",
            "email": self.email,
            "email_verified": True,
            "iat": int(now) - 100,
            "exp": int(now) + 3500,
            **other,
        }
        return {name: value for name, value in claims.items() if value is not None}

    def token(self, claims: Json, **header: object) -> str:
        """The signed token."""
        head = {"alg": "RS256", "kid": KEY_ID, "typ": "JWT", **header}
        signed = b".".join(_encoded(json.dumps(part).encode()) for part in (head, claims))
        return b".".join((signed, _encoded(self._key.sign(signed, padding.PKCS1v15(), SHA256())))).decode()

    def message(self, ident: str = "1") -> bytes:
        """A push's body."""
        push = {"message": {"messageId": ident, "data": "e30="}, "subscription": "projects/p/subscriptions/s"}
        return json.dumps(push).encode()


def _encoded(raw: bytes) -> bytes:
    return base64.urlsafe_b64encode(raw).rstrip(b"=")
