"""How a Kafka cluster is reached: addresses and credentials, as aiokafka takes them."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

Security = Literal["plaintext", "tls", "sasl_plaintext", "sasl_tls"]
Mechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]

_PROTOCOLS = {"plaintext": "PLAINTEXT", "tls": "SSL", "sasl_plaintext": "SASL_PLAINTEXT", "sasl_tls": "SASL_SSL"}
_PORT = 9092


class KafkaAccessError(ValueError):
    """An address or a file that the access to Kafka needs is of no use. The text says which, and holds no secret."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaAccess:
    """What a cluster asks of its clients (the settings CONTACTSYNC_KAFKA_…)."""

    security: Security = "plaintext"
    mechanism: Mechanism = "SCRAM-SHA-512"
    """How a name and password are proven; used with sasl_plaintext and sasl_tls."""
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: Path | None = None
    """Whose certificates are trusted, as PEM; None: the machine's own list."""
    certificate_file: Path | None = None
    key_file: Path | None = None

    @property
    def sasl(self) -> bool:
        """Whether a name and password are asked for."""
        return self.security.startswith("sasl_")

    @property
    def tls(self) -> bool:
        """Whether the connection is encrypted."""
        return self.security.endswith("tls")

    def options(self) -> dict[str, Any]:
        """Return the arguments that aiokafka's clients take. Raises `KafkaAccessError` for a file of no use."""
        options: dict[str, Any] = {"security_protocol": _PROTOCOLS[self.security]}
        if self.tls:
            options["ssl_context"] = self._context()
        if self.sasl:
            options |= {
                "sasl_mechanism": self.mechanism,
                "sasl_plain_username": self.username,
                "sasl_plain_password": self.password,
            }
        return options

    def _context(self) -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
        except OSError as error:
            raise KafkaAccessError(
                f"CONTACTSYNC_KAFKA_CA_FILE names {self.ca_file}, which can't be used: {_why(error)}."
            ) from None
        if self.certificate_file is not None:
            try:
                context.load_cert_chain(self.certificate_file, self.key_file)
            except OSError as error:
                raise KafkaAccessError(
                    "CONTACTSYNC_KAFKA_CERTIFICATE_FILE and CONTACTSYNC_KAFKA_KEY_FILE name "
                    f"{self.certificate_file} and {self.key_file}, which can't be used: {_why(error)}."
                ) from None
        return context


def addresses(url: str) -> list[tuple[str, int]]:
    """Return the hosts and ports of `kafka://host:9092,host2:9092`; a missing port is 9092.

    Raises `KafkaAccessError` for an address that can't be read, and for one with credentials in it; the text says
    how the setting has to be.
    """
    found = [_address(part.strip()) for part in urlsplit(url).netloc.split(",") if part.strip()]
    if not found:
        raise KafkaAccessError("must be postgres: or kafka://host:9092,host2:9092, and names no broker")
    return found


def _address(text: str) -> tuple[str, int]:
    if "@" in text:
        raise KafkaAccessError(
            "must be kafka://host:9092,host2:9092 without a name or password, which belong into "
            "CONTACTSYNC_KAFKA_USERNAME and CONTACTSYNC_KAFKA_PASSWORD"
        )
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host:
        raise KafkaAccessError("must be kafka://host:9092,host2:9092, and one of its addresses can't be read")
    return host, port or _PORT


def _why(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return "it doesn't hold what it should, in PEM"
    return error.strerror or type(error).__name__
