"""Settings: from the environment, and from secret files where there are some."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.runtime.log.kafka_access import KafkaAccess, Mechanism, Security, addresses
from services.runtime.reach import Reach, networks

PREFIX = "CONTACTSYNC_"
SECRETS = Path("/run/secrets")


class SettingsError(Exception):
    """Settings are wrong. The text has one sentence per setting, for a person, and holds no secret."""


class Settings(BaseSettings):
    """Everything that can be set. Each is read from CONTACTSYNC_<NAME>, or from a file of that name (lower case)."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        frozen=True,
        extra="ignore",
        hide_input_in_errors=True,
        env_ignore_empty=True,
        str_strip_whitespace=True,
    )

    store_url: SecretStr | None = Field(
        None, description="the PostgreSQL to use, as postgresql://…; unset: the bundled one, in the data folder"
    )
    data_dir: Path = Field(Path(".contactsync"), description="the folder for the bundled PostgreSQL and its key")
    log_url: str = Field(
        "postgres:", description="where events travel: postgres: (in the store) or kafka://host:9092,…"
    )
    kafka_security: Security = Field(
        "plaintext",
        validate_default=True,
        description="how the brokers are spoken to: plaintext, tls, sasl_plaintext or sasl_tls",
    )
    kafka_mechanism: Mechanism = Field(
        "SCRAM-SHA-512", description="how brokers check the password: PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512"
    )
    kafka_username: str | None = Field(
        None, validate_default=True, description="the user for brokers, with sasl_plaintext and sasl_tls"
    )
    kafka_password: SecretStr | None = Field(
        None, validate_default=True, description="that user's password, with sasl_plaintext and sasl_tls"
    )
    kafka_ca_file: Path | None = Field(
        None, description="a PEM file with the authorities that sign the brokers' certificates; unset: the machine's"
    )
    kafka_certificate_file: Path | None = Field(
        None, description="a PEM file with this client's own certificate, for brokers that ask for one"
    )
    kafka_key_file: Path | None = Field(
        None,
        validate_default=True,
        description="the PEM file with the key of CONTACTSYNC_KAFKA_CERTIFICATE_FILE, without a password",
    )
    kafka_session_seconds: int = Field(
        45, ge=6, le=300, description="how long a process may be silent before another takes over its partitions"
    )
    member: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9._-]{1,200}$",
        description=(
            "this process's own lasting name, such as its pod's: restarted under it, it goes on at once; unset: a name "
            "for this run"
        ),
    )
    listen: str = Field("127.0.0.1:8000", description="host:port for webhooks and health checks; [::1]:8000 for IPv6")
    health_listen: str | None = Field(
        None,
        description="host:port for /livez, /readyz and /metrics of any process; unset: a process that takes webhooks "
        "answers them at CONTACTSYNC_LISTEN, others don't",
    )
    body_limit: int = Field(1024 * 1024, gt=0, description="the largest webhook body, in bytes")
    reconcile_hours: float = Field(
        24.0, ge=0, description="how long after a full read of an account everybody in it is read anew; 0 for never"
    )
    log_format: Literal["auto", "json", "console"] = Field(
        "auto", description="log lines as JSON or for reading; auto: for reading on a terminal"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="the least important log lines to show"
    )
    traces: str | None = Field(
        None,
        description="the OpenTelemetry collector that traces of changes are sent to, such as http://collector:4318; "
        "unset: none are made",
    )
    traces_ratio: float = Field(
        1.0, ge=0, le=1, description="the share of changes that are traced, with CONTACTSYNC_TRACES"
    )
    blast_percent: float = Field(
        20.0,
        ge=0,
        le=100,
        description="the share of an account's contacts that an applied file may overwrite or tag, in percent; more "
        "waits for a yes",
    )
    blast_count: int = Field(
        500, ge=0, description="how many contacts an applied file may overwrite or tag; more waits for a yes"
    )
    secret_key: SecretStr | None = Field(
        None,
        min_length=16,
        description="seals the accounts' credentials, 16 characters or more; unset: a key file in the data folder. "
        "Several lines while keys are rotated: the newest first",
    )
    allow_networks: str | None = Field(
        None,
        description="the networks beside the public one that accounts' servers may be in, such as 192.168.0.0/16, or "
        "none; unset: this machine and private networks, for hosts that are addresses or have local names",
    )

    @field_validator("store_url")
    @classmethod
    def _postgres(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and urlsplit(value.get_secret_value()).scheme not in {"postgresql", "postgres"}:
            raise ValueError("must start with postgresql://")
        return value

    @field_validator("log_url")
    @classmethod
    def _known_log(cls, value: str) -> str:
        scheme, _, rest = value.partition(":")
        if scheme == "postgres" and rest in {"", "//"}:
            return "postgres:"
        if scheme == "kafka" and rest.startswith("//"):
            addresses(value)
            return value
        raise ValueError("must be postgres: or kafka://host:port,host:port")

    @field_validator("kafka_security")
    @classmethod
    def _needs_kafka(cls, value: Security, info: ValidationInfo) -> Security:
        if value != "plaintext" and not str(info.data.get("log_url", "kafka:")).startswith("kafka:"):
            raise ValueError("is set, but CONTACTSYNC_LOG_URL names no Kafka")
        return value

    @field_validator("kafka_username", "kafka_password")
    @classmethod
    def _with_sasl(cls, value: str | SecretStr | None, info: ValidationInfo) -> str | SecretStr | None:
        security = str(info.data.get("kafka_security", ""))
        if value is None and security.startswith("sasl_"):
            raise ValueError(f"has to be set, because CONTACTSYNC_KAFKA_SECURITY is {security}")
        if value is not None and security in {"plaintext", "tls"}:
            raise ValueError(f"is set, but CONTACTSYNC_KAFKA_SECURITY is {security}, which sends no name or password")
        return value

    @field_validator("kafka_ca_file", "kafka_certificate_file", "kafka_key_file")
    @classmethod
    def _with_tls(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        security = str(info.data.get("kafka_security", ""))
        if value is None:
            if info.field_name == "kafka_key_file" and info.data.get("kafka_certificate_file") is not None:
                raise ValueError("has to be set, because CONTACTSYNC_KAFKA_CERTIFICATE_FILE is")
            return value
        if security in {"plaintext", "sasl_plaintext"}:
            raise ValueError(f"is set, but CONTACTSYNC_KAFKA_SECURITY is {security}, which doesn't encrypt")
        if not value.is_file():
            raise ValueError("names no file that is there")
        if info.field_name == "kafka_key_file" and info.data.get("kafka_certificate_file", value) is None:
            raise ValueError("is set, but CONTACTSYNC_KAFKA_CERTIFICATE_FILE isn't")
        return value

    @field_validator("allow_networks")
    @classmethod
    def _networks(cls, value: str | None) -> str | None:
        if value is not None:
            networks(value)
        return value

    @field_validator("traces")
    @classmethod
    def _collector(cls, value: str | None) -> str | None:
        found = None if value is None else urlsplit(value)
        if found is not None and (found.scheme not in {"http", "https"} or not found.hostname or "@" in found.netloc):
            raise ValueError("must be http://host:port, without a password in it")
        return value

    @field_validator("listen", "health_listen")
    @classmethod
    def _host_and_port(cls, value: str | None) -> str | None:
        if value is not None:
            _split(value)
        return value

    @field_validator("log_level", "log_format", mode="before")
    @classmethod
    def _lower(cls, value: Any) -> Any:
        return value.lower() if isinstance(value, str) else value

    @property
    def bundled_store(self) -> bool:
        """Whether the bundled PostgreSQL is used."""
        return self.store_url is None

    @property
    def kafka_log(self) -> bool:
        """Whether Kafka is the log."""
        return self.log_url.startswith("kafka:")

    @property
    def kafka(self) -> KafkaAccess:
        """How Kafka's brokers are spoken to."""
        return KafkaAccess(
            security=self.kafka_security,
            mechanism=self.kafka_mechanism,
            username=self.kafka_username,
            password=None if self.kafka_password is None else self.kafka_password.get_secret_value(),
            ca_file=self.kafka_ca_file,
            certificate_file=self.kafka_certificate_file,
            key_file=self.kafka_key_file,
        )

    @property
    def reach(self) -> Reach:
        """Where requests may go."""
        return Reach(None if self.allow_networks is None else networks(self.allow_networks))

    @property
    def host(self) -> str:
        """Where to listen: the address, without brackets."""
        return _split(self.listen)[0]

    @property
    def port(self) -> int:
        """Where to listen: the port; 0 takes any free one."""
        return _split(self.listen)[1]

    @classmethod
    def read(cls, secrets: Path) -> Self:
        """Read them, with secret files from the folder `secrets` if it is there. Raises pydantic's error."""
        return cls(_secrets_dir=secrets if secrets.is_dir() else None)


def load(secrets: Path = SECRETS) -> Settings:
    """The settings of this process. Raises `SettingsError` with a sentence for every one that is wrong."""
    try:
        return Settings.read(secrets)
    except ValidationError as error:
        sentences = [_sentence(str(one["loc"][0]), one["msg"]) for one in error.errors(include_input=False)]
        raise SettingsError("\n".join(sentences)) from None


def _sentence(name: str, message: str) -> str:
    problem = message.removeprefix("Value error, ")
    known = Settings.model_fields[name]
    return f"{PREFIX}{name.upper()}: {problem[:1].lower()}{problem[1:]}. It is {known.description}."


def _split(listen: str) -> tuple[str, int]:
    host, colon, port = listen.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    host = host[1:-1] if bracketed else host
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError("must be host:port, with a port up to 65535")
    if ":" in host and not bracketed:
        raise ValueError("an IPv6 address needs brackets, as in [::1]:8000")
    return host, int(port)
