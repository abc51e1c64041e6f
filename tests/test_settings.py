"""Settings come from the environment or from files, and wrong ones are told one sentence each."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.runtime.log.kafka_access import KafkaAccessError, addresses
from services.runtime.settings import Settings, SettingsError, load

NOWHERE = Path("/nonexistent")


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"CONTACTSYNC_{name.upper()}", raising=False)


def test_the_defaults_are_one_process_on_this_machine() -> None:
    settings = load(NOWHERE)
    assert settings.bundled_store
    assert settings.data_dir == Path(".contactsync")
    assert (settings.log_url, settings.host, settings.port) == ("postgres:", "127.0.0.1", 8000)
    assert settings.body_limit == 1048576
    assert settings.secret_key is None


def test_the_environment_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTACTSYNC_STORE_URL", "postgresql://u:canary@db/contactsync")
    monkeypatch.setenv("CONTACTSYNC_LOG_URL", "kafka://a:9092,b:9092")
    monkeypatch.setenv("CONTACTSYNC_LISTEN", "[::1]:0")
    monkeypatch.setenv("CONTACTSYNC_LOG_LEVEL", "WARNING")
    settings = load(NOWHERE)
    assert settings.store_url is not None
    assert settings.store_url.get_secret_value() == "postgresql://u:canary@db/contactsync"
    assert (settings.host, settings.port) == ("::1", 0)
    assert settings.log_level == "warning"
    assert "canary" not in repr(settings)


def test_an_empty_variable_is_an_unset_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTACTSYNC_STORE_URL", "")
    monkeypatch.setenv("CONTACTSYNC_SECRET_KEY", "")
    settings = load(NOWHERE)
    assert settings.bundled_store
    assert settings.secret_key is None


def test_files_set_and_the_environment_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "contactsync_secret_key").write_text("from a file, long enough\n")
    (tmp_path / "contactsync_log_level").write_text("error\n")
    monkeypatch.setenv("CONTACTSYNC_LOG_LEVEL", "debug")
    settings = load(tmp_path)
    assert settings.secret_key is not None
    assert settings.secret_key.get_secret_value() == "from a file, long enough"
    assert settings.log_level == "debug"


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load(NOWHERE).listen = "0.0.0.0:80"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("LISTEN", "8000", "must be host:port"),
        ("LISTEN", ":8000", "must be host:port"),
        ("LISTEN", "localhost:65536", "must be host:port"),
        ("LISTEN", "::1:8000", "brackets"),
        ("LOG_URL", "rabbit://x", "must be postgres: or kafka://"),
        ("LOG_URL", "kafka://", "must be postgres: or kafka://"),
        ("LOG_URL", "kafka:canary", "must be postgres: or kafka://"),
        ("LOG_URL", "kafka://a:9092,b:canary", "can't be read"),
        ("LOG_URL", "kafka://user:canary@a:9092", "CONTACTSYNC_KAFKA_PASSWORD"),
        ("KAFKA_SECURITY", "ssl", "'plaintext', 'tls', 'sasl_plaintext' or 'sasl_tls'"),
        ("KAFKA_SECURITY", "tls", "names no Kafka"),
        ("KAFKA_MECHANISM", "GSSAPI", "'PLAIN', 'SCRAM-SHA-256' or 'SCRAM-SHA-512'"),
        ("KAFKA_USERNAME", "canary", "sends no name or password"),
        ("KAFKA_PASSWORD", "canary", "sends no name or password"),
        ("KAFKA_CA_FILE", "/canary", "which doesn't encrypt"),
        ("STORE_URL", "mysql://canary@x", "must start with postgresql://"),
        ("BODY_LIMIT", "0", "greater than 0"),
        ("BODY_LIMIT", "canary", "valid integer"),
        ("LOG_FORMAT", "canary", "'auto', 'json' or 'console'"),
        ("SECRET_KEY", "canary", "at least 16"),
    ],
)
def test_a_wrong_setting_is_told_without_its_value(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, sentence: str
) -> None:
    monkeypatch.setenv(f"CONTACTSYNC_{name}", value)
    with pytest.raises(SettingsError) as refused:
        load(NOWHERE)
    text = str(refused.value)
    assert text.startswith(f"CONTACTSYNC_{name}: ")
    assert sentence in text
    assert "canary" not in text


@pytest.mark.parametrize(
    ("variables", "sentences"),
    [
        ({"SECURITY": "sasl_tls"}, ["KAFKA_USERNAME: has to be set", "KAFKA_PASSWORD: has to be set"]),
        ({"SECURITY": "sasl_plaintext", "USERNAME": "canary"}, ["KAFKA_PASSWORD: has to be set"]),
        ({"SECURITY": "tls", "USERNAME": "canary"}, ["KAFKA_USERNAME: is set, but CONTACTSYNC_KAFKA_SECURITY is tls"]),
        ({"SECURITY": "tls", "CA_FILE": "/canary/ca"}, ["KAFKA_CA_FILE: names no file"]),
        ({"SECURITY": "tls", "CERTIFICATE_FILE": __file__}, ["KAFKA_KEY_FILE: has to be set"]),
        ({"SECURITY": "tls", "KEY_FILE": __file__}, ["KAFKA_KEY_FILE: is set, but CONTACTSYNC_KAFKA_CERTIFICATE_FILE"]),
        ({"CA_FILE": __file__}, ["KAFKA_CA_FILE: is set, but CONTACTSYNC_KAFKA_SECURITY is plaintext"]),
    ],
)
def test_what_kafka_needs_is_checked_together(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], sentences: list[str]
) -> None:
    monkeypatch.setenv("CONTACTSYNC_LOG_URL", "kafka://a:9092")
    for name, value in variables.items():
        monkeypatch.setenv(f"CONTACTSYNC_KAFKA_{name}", value)
    with pytest.raises(SettingsError) as refused:
        load(NOWHERE)
    lines = str(refused.value).splitlines()
    assert len(lines) == len(sentences)
    for line, sentence in zip(lines, sentences, strict=True):
        assert line.startswith(f"CONTACTSYNC_{sentence}")
    assert "canary" not in str(refused.value)


def test_kafkas_credentials_are_read_and_never_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTACTSYNC_LOG_URL", "kafka://a:9092,[::1]:9093,c")
    for name, value in {"SECURITY": "sasl_tls", "USERNAME": "sync", "PASSWORD": "canary", "CA_FILE": __file__}.items():
        monkeypatch.setenv(f"CONTACTSYNC_KAFKA_{name}", value)
    settings = load(NOWHERE)
    access = settings.kafka
    assert (access.security, access.mechanism, access.username) == ("sasl_tls", "SCRAM-SHA-512", "sync")
    assert (access.password, access.ca_file) == ("canary", Path(__file__))
    assert addresses(settings.log_url) == [("a", 9092), ("::1", 9093), ("c", 9092)]
    assert "canary" not in repr(settings) + repr(access)
    with pytest.raises(KafkaAccessError, match=r"CONTACTSYNC_KAFKA_CA_FILE names .*doesn't hold"):
        access.options()


def test_all_wrong_settings_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTACTSYNC_LISTEN", "x")
    monkeypatch.setenv("CONTACTSYNC_BODY_LIMIT", "-1")
    with pytest.raises(SettingsError) as refused:
        load(NOWHERE)
    assert [line.partition(":")[0] for line in str(refused.value).splitlines()] == [
        "CONTACTSYNC_LISTEN",
        "CONTACTSYNC_BODY_LIMIT",
    ]
