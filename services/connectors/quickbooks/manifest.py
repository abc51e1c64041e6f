"""What QuickBooks Online declares: fields, abilities, pace, verdicts, and the names of its API.

Lengths and forbidden characters are those of Intuit's reference of the Customer entity:
https://developer.intuit.com/app/developer/qbo/docs/api/accounting/all-entities/customer
"""

from services.contracts.app import Ability, Credential, Field, Manifest, Pace, Setting, Verdict

API = "https://quickbooks.api.intuit.com"
TOKEN_URL = "https://oauth.platform.intuit.com/oauth2/v1/tokens/bearer"  # noqa: S105 - an address

MINOR_VERSION = "75"
"""Lower ones are ignored since August 2025: https://blogs.intuit.com/2025/08/13"""

REALM = "realm_id"
"""The setting that says which company the account is."""

NAME_LENGTH = 500
PART_LENGTHS = {"prefix": 16, "given": 100, "middle": 100, "family": 100, "suffix": 16}
ADDRESS_LENGTHS = {"line1": 500, "line2": 500, "city": 255, "state": 255, "postal_code": 30, "country": 255}
NOTES_LENGTH = 2000
MARK_LENGTH = 60
"""Characters of the notes that are kept free for our mark."""

AT_WORK = 150.0
"""Seconds for which QuickBooks may still be at work on a request without an answer: it gives up after 120.
https://developer.intuit.com/app/developer/qbo/docs/learn/limits-and-throttles"""

_URL = r"https://[^\s?#@]+|http://(localhost|127\.0\.0\.1|\[::1\])(:[0-9]+)?(/[^\s?#@]*)?"

MANIFEST = Manifest(
    name="quickbooks",
    title="QuickBooks Online",
    docs="https://developer.intuit.com/app/developer/qbo/docs/api/accounting/all-entities/customer",
    credentials=(
        Credential(key="client_id", title="Client id of the Intuit app", pattern=r"[!-~]+"),
        Credential(key="client_secret", title="Client secret of the Intuit app", pattern=r"[!-~]+"),
        Credential(key="refresh_token", title="Refresh token for the company", pattern=r"[!-~]+"),
        Credential(
            key="webhook_secrets",
            title="Verifier tokens of the Intuit app's webhooks, the old one too while it is changed",
            required=False,
            many=True,
            pattern=r"[!-~]{8,256}",
        ),
    ),
    settings=(
        Setting(
            key=REALM,
            title="The company's id (realm id)",
            required=True,
            pattern=r"[0-9]{1,30}",
            example="9341455000000001",
        ),
        Setting(
            key="api_base",
            title="Where the API is",
            default=API,
            pattern=_URL,
            example="https://sandbox-quickbooks.api.intuit.com",
        ),
        Setting(
            key="token_url",
            title="Where access tokens are issued",
            default=TOKEN_URL,
            pattern=_URL,
            example="http://127.0.0.1:8497/token",
        ),
        Setting(
            key="poll_seconds",
            title="Seconds between two questions for changes",
            default="120",
            pattern=r"[0-9]+(\.[0-9]+)?",
            example="60",
        ),
    ),
    fields=(
        # Without a name the customer is called by its company or e-mail address; it is never left without any.
        Field(path="name", canonical="name", type="name", required=True),
        # One address, though QuickBooks takes a list: every one in it gets the invoices.
        Field(path="PrimaryEmailAddr", canonical="email", type="email", max_length=100),
        Field(path="PrimaryPhone", canonical="phone", type="phone", max_length=30),
        Field(path="Mobile", canonical=None, type="phone", max_length=30),
        Field(path="AlternatePhone", canonical=None, type="phone", max_length=30),
        Field(path="Fax", canonical=None, type="phone", max_length=30),
        Field(path="BillAddr", canonical="address", type="address"),
        Field(path="ShipAddr", canonical=None, type="address"),
        Field(path="CompanyName", canonical="company", type="text", max_length=100),
        Field(path="WebAddr", canonical="website", type="text", max_length=1000),
        Field(path="Notes", canonical="note", type="text", max_length=NOTES_LENGTH - MARK_LENGTH),
    ),
    # No TAG: customers have no labels, and nothing else that people would take for one.
    abilities=frozenset(
        {
            Ability.DETECT_DELETION,
            Ability.WEBHOOK,
            Ability.POLL,
            Ability.GUARD,
            # Webhooks are gathered for minutes before they come; a query shows what is there.
            Ability.FIND_SEES_MORE,
        }
    ),
    # 500 requests a minute to a company and 10 a second from an app:
    # https://developer.intuit.com/app/developer/qbo/docs/learn/limits-and-throttles
    # A write under a name that is taken is several requests, and other programs share the company's 500.
    # Of requests with several writes it takes 40 a minute. Fewer are sent: each customer in them is told of by a
    # webhook and looked at by itself, and a poll that finds over 1,000 changes has to read everybody anew.
    pace=Pace(poll=0.5, read=3, write=3, burst=2, batch=0.2),
    parallel=3,
    # It recommends 30 at most, and carries them out one after the other: these have to be done before we give up.
    batch=20,
    # https://developer.intuit.com/app/developer/qbo/docs/develop/troubleshooting/error-codes
    verdicts={
        403: Verdict.REAUTHORISE,
        "5010": Verdict.STALE,
        "610": Verdict.GONE,
        "3001": Verdict.THROTTLED,
        "3100": Verdict.REAUTHORISE,
        "3200": Verdict.REAUTHORISE,
        "120": Verdict.REAUTHORISE,
        # The company's subscription has ended: nothing can be written until a person pays.
        "6190": Verdict.REAUTHORISE,
        "token_unavailable": Verdict.RETRY,
        "invalid_grant": Verdict.REAUTHORISE,
        "invalid_client": Verdict.REAUTHORISE,
        "no_credentials": Verdict.REAUTHORISE,
        "no_contact_id": Verdict.REFUSE,
        "behind": Verdict.RETRY,
        "alone": Verdict.RETRY,
        # A 404 that speaks of an address: a wrong api_base, and no deletion.
        "not_quickbooks": Verdict.UNKNOWN,
    },
    merge_window=10.0,  # both halves of a merge come in one webhook or one poll, and each is looked at
    poll_interval=120.0,
    webhook_body="any",  # what CloudEvents in an array are declared as isn't documented; the signature proves them
)
"""QuickBooks Online's manifest."""
