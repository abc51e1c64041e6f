"""What Google Contacts declares: fields, abilities, pace, verdicts, and the names it keeps for us."""

from services.contracts.app import Ability, Credential, CustomFields, Field, Manifest, Pace, Setting, Verdict

API = "https://people.googleapis.com"
TOKEN_URL = "https://oauth2.googleapis.com/token"  # noqa: S105 - an address
CERTIFICATES_URL = "https://www.googleapis.com/oauth2/v1/certs"

MARK = "contactsync_link"
"""The clientData key that holds the id of the link whose create made the contact."""

WRITE_MARK = "contactsync_write"
"""The clientData key that holds which write of which link and side was the last to be applied (P4)."""

CUSTOM = "custom."
"""What the path of a user-defined field begins with."""

VISIBLE_AFTER = 900.0
"""Seconds after which lists and searches show a change. "A propagation delay of several minutes":
https://developers.google.com/people/api/rest/v1/people.connections/list"""

_URL = r"https://[^\s?#@]+|http://(localhost|127\.0\.0\.1|\[::1\])(:[0-9]+)?(/[^\s?#@]*)?"

MANIFEST = Manifest(
    name="google_contacts",
    title="Google Contacts",
    docs="https://developers.google.com/people",
    credentials=(
        Credential(key="client_id", title="OAuth client's id", pattern=r"[!-~]+"),
        Credential(key="client_secret", title="OAuth client's secret", pattern=r"[!-~]+"),
        Credential(key="refresh_token", title="Refresh token of the Google account", pattern=r"[!-~]+"),
        Credential(
            key="webhook_secrets",
            title="Tokens of push channels, or pubsub:SERVICE-ACCOUNT-E-MAIL:AUDIENCE of a Pub/Sub push subscription",
            required=False,
            many=True,
            pattern=r"pubsub:[^\s:]+@[^\s:]+:\S+|(?!pubsub:)[!-~]{16,256}",
        ),
    ),
    settings=(
        Setting(
            key="api_base",
            title="Where the People API is",
            default=API,
            pattern=_URL,
            example="http://127.0.0.1:8498",
        ),
        Setting(
            key="token_url",
            title="Where access tokens are issued",
            default=TOKEN_URL,
            pattern=_URL,
            example="http://127.0.0.1:8498/token",
        ),
        Setting(
            key="certificates_url",
            title="Where the certificates are that Pub/Sub's tokens are signed with",
            default=CERTIFICATES_URL,
            pattern=_URL,
            example="http://127.0.0.1:8498/certs",
        ),
        Setting(
            key="poll_seconds",
            title="Seconds between two questions for changes",
            default="30",
            pattern=r"[0-9]+(\.[0-9]+)?",
            example="60",
        ),
    ),
    fields=(
        Field(path="name", canonical="name", type="name"),
        Field(path="emailAddresses", canonical="email", type="email", multi=True),
        Field(path="phoneNumbers", canonical="phone", type="phone", multi=True),
        Field(path="addresses", canonical="address", type="address", multi=True),
        Field(path="company", canonical="company", type="text"),
        Field(path="job_title", canonical="job_title", type="text"),
        Field(path="note", canonical="note", type="text"),
    ),
    abilities=frozenset(
        {
            Ability.DETECT_DELETION,
            Ability.TAG,
            Ability.POLL,
            Ability.GUARD,
            Ability.WEBHOOK,
            # The feed lags by minutes; a search sees what was propagated, and this process knows what it wrote.
            Ability.FIND_SEES_MORE,
        }
    ),
    # Uncertain: Google publishes the quotas' names (per minute and user), not their numbers, and those told
    # elsewhere differ (60, 90, 180 a minute). 60 a minute in all stays below each of them; a write counts as a
    # read too.
    pace=Pace(poll=0.2, read=0.4, write=0.4, burst=5),
    # https://cloud.google.com/apis/design/errors, and the discovery document for what 400 and 409 mean.
    verdicts={
        403: Verdict.REAUTHORISE,
        409: Verdict.RETRY,  # another change of this user is under way
        "failedPrecondition": Verdict.STALE,
        "rate_limit": Verdict.THROTTLED,
        "behind": Verdict.RETRY,
        "token_unavailable": Verdict.RETRY,
        "invalid_grant": Verdict.REAUTHORISE,
        "invalid_client": Verdict.REAUTHORISE,
        "no_credentials": Verdict.REAUTHORISE,
        "no_contact_id": Verdict.REFUSE,
        # A 404 that speaks of an address: a wrong api_base, and no deletion.
        "not_google": Verdict.UNKNOWN,
    },
    merge_window=5.0,
    poll_interval=30.0,
    custom=CustomFields(prefix=CUSTOM, title="custom field", multi=True),
    tag_word="label",
    polled=True,  # a notification names no contact: it hurries the poll
    webhook_body="any",  # a channel's notification has none, and declares none
)
"""Google Contacts' manifest."""
