"""Credentials are sealed for one place under one key, and every failure says what to do."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.runtime.secrets import SecretsError, Vault, purpose, stretched, vault

KEY = Vault(b"k" * 32)
PLACE = purpose("shop", "api_key")


@given(st.binary(max_size=300), st.text(max_size=50))
def test_what_was_sealed_opens(plain: bytes, place: str) -> None:
    sealed = KEY.seal(plain, place)
    assert KEY.open(sealed, place) == plain
    assert len(sealed) == len(plain) + 33
    assert sealed != KEY.seal(plain, place)


@pytest.mark.parametrize("other", [purpose("shop", "webhook_secrets"), purpose("office", "api_key")])
def test_a_swapped_value_does_not_open(other: str) -> None:
    with pytest.raises(SecretsError, match=r"is damaged or belongs elsewhere\. Authorize the account again"):
        KEY.open(KEY.seal(b"canary", PLACE), other)


def test_accounts_and_fields_cannot_be_shifted() -> None:
    assert purpose("a/b", "c") != purpose("a", "b/c")


@pytest.mark.parametrize("position", [0, 1, 4, 5, 16, 17, -1])
def test_a_changed_byte_is_noticed(position: int) -> None:
    sealed = bytearray(KEY.seal(b"canary", PLACE))
    sealed[position] ^= 1
    with pytest.raises(SecretsError):
        KEY.open(bytes(sealed), PLACE)


@pytest.mark.parametrize("length", range(34))
def test_a_cut_value_is_noticed(length: int) -> None:
    with pytest.raises(SecretsError):
        KEY.open(KEY.seal(b"canary", PLACE)[:length], PLACE)


def test_another_key_is_told_by_its_id() -> None:
    other = Vault(b"o" * 32)
    with pytest.raises(SecretsError, match=rf"sealed with another key \({KEY.key_id}, this one is {other.key_id}\)"):
        other.open(KEY.seal(b"canary", PLACE), PLACE)


def test_g8_a_digest_tells_a_change_and_nothing_else() -> None:
    digest = KEY.digest(b"sk_live_canary", PLACE)
    assert digest == KEY.digest(b"sk_live_canary", PLACE)
    assert len({digest, KEY.digest(b"sk_live_other", PLACE), Vault(b"o" * 32).digest(b"sk_live_canary", PLACE)}) == 3
    assert b"canary" not in digest


def test_the_same_text_is_the_same_key_everywhere(tmp_path: Path) -> None:
    one, two = (vault("correct horse battery", tmp_path, bundled_store=bundled) for bundled in (True, False))
    assert two.open(one.seal(b"x", PLACE), PLACE) == b"x"
    assert not list(tmp_path.iterdir())


def test_a_short_text_is_refused_without_repeating_it() -> None:
    with pytest.raises(SecretsError, match="has 6 characters and needs at least 16") as refused:
        stretched("canary")
    assert "canary" not in str(refused.value)


def test_with_a_postgres_of_ones_own_a_key_is_needed(tmp_path: Path) -> None:
    with pytest.raises(SecretsError, match="CONTACTSYNC_SECRET_KEY isn't set"):
        vault(None, tmp_path, bundled_store=False)


def test_the_bundled_store_gets_a_key_file_of_its_own(tmp_path: Path) -> None:
    first = vault(None, tmp_path / "new", bundled_store=True)
    file = tmp_path / "new" / "secret.key"
    assert file.stat().st_mode & 0o777 == 0o600
    assert len(file.read_bytes()) == 32
    assert vault(None, tmp_path / "new", bundled_store=True).key_id == first.key_id
    assert os.listdir(tmp_path / "new") == ["secret.key"]  # noqa: PTH208 - names are what is compared


def test_many_at_once_make_one_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = pool.map(lambda _: vault(None, tmp_path, bundled_store=True).key_id, range(16))
    assert len(set(made)) == 1


def test_a_key_file_that_others_can_read_or_that_is_cut_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "secret.key"
    file.write_bytes(b"k" * 32)
    file.chmod(0o644)
    with pytest.raises(SecretsError, match="chmod 600"):
        vault(None, tmp_path, bundled_store=True)
    file.write_bytes(b"k" * 31)
    file.chmod(0o600)
    with pytest.raises(SecretsError, match="has 31 bytes instead of 32"):
        vault(None, tmp_path, bundled_store=True)
