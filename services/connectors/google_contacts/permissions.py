"""What a Google login may do: the scope that the person granted, and a real reading of the contacts."""

from __future__ import annotations

import msgspec

from services.connectors.google_contacts.client import Answer, Client, Failure
from services.connectors.google_contacts.feed import CONNECTIONS
from services.connectors.google_contacts.manifest import TOKEN_URL
from services.connectors.google_contacts.token import Tokens
from services.contracts.app import Trouble
from services.runtime.app import Access
from services.runtime.authorize import exchange
from services.runtime.authorize.way import Examined, Finding, OAuth2

# https://developers.google.com/identity/protocols/oauth2/native-app. A refresh token comes with
# access_type=offline, and at a later login of the same person only with prompt=consent:
# https://developers.google.com/identity/protocols/oauth2/web-server#offline
WAY = OAuth2(
    authorize_url="https://accounts.google.com/o/oauth2/v2/auth",
    token_url=TOKEN_URL,
    beside="/o/oauth2/v2/auth",
    scopes=("https://www.googleapis.com/auth/contacts",),
    parameters={"access_type": "offline", "prompt": "consent"},
    once_more=("Remove contactsync's access at https://myaccount.google.com/connections, then run this command again."),
)
"""How one logs in to Google."""

_LOGIN = "Google login"
_AGAIN = "Run `contactsync authorize` for the account again."


class _Listed(msgspec.Struct, frozen=True, rename="camel"):
    total_items: int | None = None


async def examine(access: Access) -> Examined:
    """Get an access token, look at its scope, and read one contact."""
    identity, secret, token = (
        next(iter(access.credentials.get(key, ())), "") for key in ("client_id", "client_secret", "refresh_token")
    )
    tokens = await exchange.refresh(access.http, WAY, access.settings, exchange.Client(identity, secret), token)
    if isinstance(tokens, exchange.Failed):
        step = _AGAIN if tokens.code == "invalid_grant" else "Correct what it names, then try again."
        return Examined(findings=(Finding(what=_LOGIN, state="wrong", told=tokens.reason, next_step=step),))
    findings = [Finding(what=_LOGIN, state="fine")]
    if tokens.lacking(WAY):
        step = f"{_AGAIN} Tick “See, edit, download, and permanently delete your contacts”."
        told = "the login may not read and change contacts"
        findings.append(Finding(what=WAY.scopes[0], state="wrong", told=told, next_step=step))
    else:
        findings.append(Finding(what=WAY.scopes[0], state="fine"))
    answer = await Client(access, Tokens()).get(CONNECTIONS, {"personFields": "names", "pageSize": "1"})
    contacts = ""
    match answer:
        case Answer():
            listed = answer.decoded(_Listed)
            if isinstance(listed, _Listed) and listed.total_items is not None:
                contacts = f"{listed.total_items} contacts"
            findings.append(Finding(what="People API", state="fine"))
        case Failure():
            step = "Is the People API enabled in the Google Cloud project that the OAuth client belongs to?"
            findings.append(Finding(what="People API", state="wrong", told=answer.trouble().detail, next_step=step))
        case Trouble():
            step = "Is the network there, and the setting api_base right?"
            findings.append(Finding(what="People API", state="wrong", told=answer.detail, next_step=step))
    return Examined(who=contacts, findings=tuple(findings))
