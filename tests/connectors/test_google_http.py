"""The app and its sandbox over real HTTP, and what the app declares."""

import re

import pytest

from services.connectors.google_contacts.contacts import GoogleContacts
from services.connectors.google_contacts.manifest import MANIFEST
from services.connectors.google_contacts.sandbox import GoogleSandbox, serve
from services.connectors.verdicts import verdict_on
from services.contracts.app import Ability, Seen, Trouble, Verdict
from services.contracts.receipts import Written
from services.runtime.app import Access
from services.runtime.clock import SystemClock
from services.runtime.http import client
from tests.connectors.google_rig import ADA, FIRST, LINK, PUSH_SECRET, create, must, update


async def test_the_app_works_with_the_sandbox_over_real_http_also_when_an_answer_is_cut() -> None:
    box, app = GoogleSandbox(), GoogleContacts()
    async with serve(box) as base, client() as http:
        access = Access(
            account="office",
            settings={"api_base": base, "token_url": f"{base}/token"},
            credentials={
                "client_id": (box.oauth.client_id,),
                "client_secret": (box.oauth.client_secret,),
                "refresh_token": (box.refresh_token,),
            },
            http=http,
            clock=SystemClock(),
        )
        made = must(await app.write(access, create(), FIRST), Written)
        seen = must(await app.look(access, made.contact_id), Seen)
        assert (seen.contact.fields, seen.contact.mark) == (ADA, LINK)
        box.faults.drop("PATCH")
        await app.write(access, update(seen, {"note": ("Ours",)}), FIRST)
        done = must(await app.settle(access, update(seen, {"note": ("Ours",)}), FIRST), Written)
        assert done.looked


async def test_a_server_that_isnt_there_wasnt_asked() -> None:
    async with client() as http:
        access = Access(
            account="office",
            settings={"api_base": "http://127.0.0.1:1", "token_url": "http://127.0.0.1:1/token"},
            credentials=dict.fromkeys(("client_id", "client_secret", "refresh_token"), ("x",)),
            http=http,
            clock=SystemClock(),
        )
        answer = must(await GoogleContacts().write(access, create(), FIRST), Trouble)
        assert verdict_on(answer, MANIFEST) is Verdict.RETRY


def test_the_manifest_declares_what_options_follow_from() -> None:
    expected = {Ability.DETECT_DELETION, Ability.TAG, Ability.POLL, Ability.GUARD, Ability.FIND_SEES_MORE}
    assert expected <= MANIFEST.abilities
    assert not MANIFEST.abilities & {Ability.IDEMPOTENCY_KEY, Ability.DETECT_UNSUBSCRIBE}
    canonical = {field.canonical: field.multi for field in MANIFEST.fields}
    assert canonical == {
        "name": False,
        "email": True,
        "phone": True,
        "address": True,
        "company": False,
        "job_title": False,
        "note": False,
    }


@pytest.mark.parametrize(
    ("key", "value", "good"),
    [
        ("api_base", "https://people.googleapis.com", True),
        ("api_base", "http://127.0.0.1:8498", True),
        ("api_base", "http://people.googleapis.com", False),
        ("api_base", "people.googleapis.com", False),
        ("token_url", "https://oauth2.googleapis.com/token", True),
        ("token_url", "http://localhost:1/token", True),
        ("token_url", "http://elsewhere.example/token", False),
        ("poll_seconds", "30", True),
        ("poll_seconds", "soon", False),
        ("webhook_secrets", PUSH_SECRET, True),
        ("webhook_secrets", "a-token-of-24-characters", True),
        ("webhook_secrets", "short", False),
        ("webhook_secrets", "pubsub:nobody", False),
        ("refresh_token", "1//abc", True),
        ("refresh_token", "two words", False),
    ],
)
def test_settings_and_credentials_have_a_form(key: str, value: str, good: bool) -> None:
    patterns = {each.key: each.pattern for each in MANIFEST.settings}
    patterns |= {each.key: each.pattern for each in MANIFEST.credentials}
    assert bool(re.fullmatch(patterns[key], value)) == good


def test_every_setting_s_default_and_example_have_its_form() -> None:
    for setting in MANIFEST.settings:
        assert re.fullmatch(setting.pattern, setting.default)
        assert re.fullmatch(setting.pattern, setting.example)
