"""What Stripe declares holds together."""

import re
from pathlib import Path

import pytest

from services.connectors.stripe import body, manifest
from services.connectors.stripe.app import APP
from services.connectors.stripe.customer import TEXTS, Customer
from services.contracts.app import Ability, Verdict


def test_name_is_folder() -> None:
    assert Path(manifest.__file__).parent.name == APP.manifest.name


def test_every_declared_field_is_read_and_can_be_written() -> None:
    paths = {field.path for field in APP.manifest.fields}
    assert paths == set(Customer(id="cus_1").fields()) == {*TEXTS, "address"}
    assert all(body.objection(path, ()) is None for path in paths)
    assert not any(field.multi or field.required for field in APP.manifest.fields)


def test_a3_b10_only_the_e_mail_is_guarded() -> None:
    assert [field.path for field in APP.manifest.fields if field.guarded] == ["email"]


def test_e7_unsubscribes_are_no_ability_of_stripe() -> None:
    assert Ability.DETECT_UNSUBSCRIBE not in APP.manifest.abilities
    assert {Ability.TAG, Ability.DETECT_DELETION, Ability.WEBHOOK} <= APP.manifest.abilities


def test_tags_and_the_mark_fit_into_metadata() -> None:
    for key in (*manifest.TAGS, manifest.MARK):
        assert len(key) <= manifest.METADATA_KEY_LENGTH
        assert not set("[]") & set(key)


def test_p16_the_pace_stays_within_stripes_limits() -> None:
    pace = APP.manifest.pace
    # Scans and finds ask the same endpoint, which takes 25 a second, as each does; an account takes 100 in all.
    assert pace.poll + pace.read + pace.burst <= 25
    assert pace.write + pace.burst <= 25
    assert pace.poll + pace.read + pace.write <= 100


def test_p4_unknown_outcomes_are_never_sent_anew() -> None:
    verdicts = APP.manifest.verdicts
    assert {verdicts[key] for key in ("idempotency_error", "replayed_failure")} == {Verdict.UNKNOWN}
    assert APP.manifest.key_lifetime == 23 * 3600


@pytest.mark.parametrize(
    ("key", "good", "bad"),
    [
        ("api_key", ["sk_live_51Ab", "rk_test_x", "sk_test_sandbox"], ["pk_live_1", "sk_live_", "sk_live_a b"]),
        ("webhook_secrets", ["whsec_abc+/="], ["whsec_", "secret", "whsec_a b"]),
        ("api_base", ["https://api.stripe.com", "http://127.0.0.1:8420"], ["http://x.org", "https://a/v1", "x"]),
        ("events", ["on", "off"], ["", "yes"]),
        ("poll_seconds", ["60", "0.5"], ["-1", "soon"]),
    ],
)
def test_the_files_values_are_checked(key: str, good: list[str], bad: list[str]) -> None:
    declared = {each.key: each.pattern for each in APP.manifest.credentials}
    declared |= {each.key: each.pattern for each in APP.manifest.settings}
    assert all(re.fullmatch(declared[key], value) for value in good)
    assert not any(re.fullmatch(declared[key], value) for value in bad)
