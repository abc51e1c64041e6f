"""What an app says about logging in to it: the module `authorize` beside its `app` has an `AUTHORIZATION`."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Literal, TypeAlias

import msgspec

from services.runtime.app import Access

State: TypeAlias = Literal["fine", "doubtful", "wrong"]
"""Doubtful: it works, or it couldn't be found out, and a person may want to look."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at by a real call. Nothing in it is a secret or a contact's data."""

    what: str
    """As the app calls it, such as `Customers: Write`."""
    state: State
    told: str = ""
    next_step: str = ""


class Examined(msgspec.Struct, frozen=True, kw_only=True):
    """What an account's credentials are good for."""

    who: str = ""
    """What they open, for a person, such as `live mode`; empty where the app doesn't say."""
    findings: tuple[Finding, ...] = ()

    @property
    def wrong(self) -> bool:
        """Whether anything that is needed doesn't work."""
        return any(finding.state == "wrong" for finding in self.findings)


Examine: TypeAlias = Callable[[Access], Awaitable[Examined]]
"""Asks the app what the credentials may do. Changes nothing there."""


class OAuth2(msgspec.Struct, frozen=True, kw_only=True):
    """Logging in by an authorisation code. The credentials are `client_id`, `client_secret` and `refresh_token`."""

    authorize_url: str
    token_url: str
    """The setting `token_url` of an account counts instead, and then the login is at `beside` on that server."""
    beside: str
    """The path of the login on a server of one's own (a sandbox)."""
    scopes: tuple[str, ...]
    parameters: Mapping[str, str] = msgspec.field(default_factory=dict)
    """What the login is asked besides, as in RFC 6749 section 8.2."""
    basic: bool = False
    """The client shows who it is in a header (RFC 6749 section 2.3.1), not in the form."""
    redirect: str = ""
    """Where the app insists on leading to instead of this machine; then a person pastes the address."""
    registered: bool = False
    """It leads only to addresses that the client has there, and to no numbers: a person has to say which."""
    tells: Mapping[str, str] = msgspec.field(default_factory=dict)
    """Parameters of the answer that say a setting of the account, such as the company that the person chose."""
    once_more: str = "Log in again, and allow access while you are away."
    """What a person does if the answer has no refresh token."""


class Authorization(msgspec.Struct, frozen=True, kw_only=True):
    """How one logs in to an app, and how that is checked."""

    examine: Examine
    hooks: Callable[[Access, str], Awaitable[Finding]] | None = None
    """Asks the app whether its webhooks lead to that path here; None: it can't be asked."""
    oauth: OAuth2 | None = None
    """None: the credentials are made in the app and pasted."""
    hint: str = ""
    """Where in the app the credentials are made."""
