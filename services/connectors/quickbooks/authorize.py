"""Logging in to QuickBooks Online: by OAuth 2, as an app of one's own on Intuit's developer portal."""

from services.connectors.quickbooks.app import APP
from services.connectors.quickbooks.manifest import REALM, TOKEN_URL
from services.contracts.app import Trouble
from services.runtime.app import Access
from services.runtime.authorize.way import Authorization, Examined, Finding, OAuth2

# https://developer.intuit.com/app/developer/qbo/docs/develop/authentication-and-authorization/oauth-2.0
WAY = OAuth2(
    authorize_url="https://appcenter.intuit.com/connect/oauth2",
    token_url=TOKEN_URL,
    beside="/connect/oauth2",
    scopes=("com.intuit.quickbooks.accounting",),
    basic=True,
    # https://developer.intuit.com/app/developer/qbo/docs/develop/authentication-and-authorization/set-redirect-uri
    registered=True,
    tells={"realmId": REALM},
    once_more="Disconnect the app in QuickBooks (Apps → My apps), then run this command again.",
)
"""How one logs in to QuickBooks."""

_NOBODY = "contactsync@nobody.invalid"
"""RFC 2606: no customer has an address there."""


async def examine(access: Access) -> Examined:
    """Get an access token, and ask the company for a customer that it doesn't have."""
    answer = await APP.find(access, _NOBODY)
    company = f"company {access.settings.get(REALM, '')}"
    if isinstance(answer, Trouble):
        step = "Run `contactsync authorize` for the account again, as somebody who may see this company's customers."
        if answer.key in {"not_sent", "unanswered", "not_quickbooks"}:
            step = "Is the network there, and are the settings api_base and token_url right?"
        return Examined(findings=(Finding(what="Customers", state="wrong", told=answer.detail, next_step=step),))
    return Examined(who=company, findings=(Finding(what="Customers", state="fine"),))


AUTHORIZATION = Authorization(
    examine=examine,
    oauth=WAY,
    hint=(
        "On Intuit's developer portal (https://developer.intuit.com/app/developer/dashboard) make an app for the "
        "accounting scope: under Keys & credentials it has the client id and secret, and the redirect addresses that "
        "it takes. Say one of these with --redirect."
    ),
)
"""QuickBooks Online's."""
