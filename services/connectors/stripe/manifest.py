"""What Stripe declares: fields, abilities, pace, verdicts, and the names that contactsync keeps in metadata."""

from services.contracts.app import (
    TRASH,
    UNSUBSCRIBES,
    Ability,
    Credential,
    CustomFields,
    Field,
    Manifest,
    Pace,
    Setting,
    Verdict,
)

TAGS = (TRASH, UNSUBSCRIBES)
"""The tags contactsync sets. Stripe has no tags: each is a metadata key whose value is the date it was set."""

MARK = "contactsync_link"
"""The metadata key that holds the id of the link whose create made the customer."""

METADATA = "metadata."
"""What the path of a metadata key begins with."""

# https://docs.stripe.com/api/metadata
METADATA_KEYS = 50
METADATA_KEY_LENGTH = 40
METADATA_VALUE_LENGTH = 500

API = "https://api.stripe.com"

MANIFEST = Manifest(
    name="stripe",
    title="Stripe",
    docs="https://docs.stripe.com/api/customers",
    credentials=(
        Credential(
            key="api_key",
            title="Secret or restricted API key (customers: write, events: read)",
            pattern=r"(sk|rk)_(test|live)_[A-Za-z0-9_]+",
        ),
        Credential(
            key="webhook_secrets",
            title="Signing secrets of the webhook endpoint, the old one too while it is rolled",
            many=True,
            pattern=r"whsec_[!-~]+",
        ),
    ),
    settings=(
        Setting(
            key="api_base",
            title="Where the API is",
            default=API,
            pattern=r"https://[^\s/?#@]+|http://(localhost|127\.0\.0\.1|\[::1\])(:[0-9]+)?",
            example="http://127.0.0.1:8420",
        ),
        Setting(
            key="events",
            title="Ask the API for events whose webhooks were lost",
            default="on",
            pattern="on|off",
            example="off",
        ),
        Setting(
            key="poll_seconds",
            title="Seconds between two questions for lost events",
            default="300",
            pattern=r"[0-9]+(\.[0-9]+)?",
            example="60",
        ),
    ),
    # Limits: https://docs.stripe.com/api/customers/create, for business_name
    # https://docs.stripe.com/changelog/clover/2025-09-30/customer-business-individual-names
    fields=(
        Field(path="name", canonical="name", type="text"),
        Field(path="email", canonical="email", type="email", max_length=512, guarded=True),
        Field(path="phone", canonical="phone", type="phone"),
        Field(path="address", canonical="address", type="address"),
        Field(path="description", canonical="note", type="text"),
        Field(path="business_name", canonical="company", type="text", max_length=150),
    ),
    abilities=frozenset(
        {
            Ability.DETECT_DELETION,
            Ability.TAG,
            Ability.SUBSCRIPTIONS,
            Ability.WEBHOOK,
            Ability.POLL,
            Ability.IDEMPOTENCY_KEY,
            # A list by e-mail shows a customer at once, its webhook comes when it comes.
            Ability.FIND_SEES_MORE,
        }
    ),
    # 25 requests a second to each endpoint and 100 to a live account: https://docs.stripe.com/rate-limits
    # Scans and finds share the endpoint GET /v1/customers, and other programs share the account.
    pace=Pace(poll=5, read=18, write=20, burst=2),
    parallel=8,
    # https://docs.stripe.com/error-codes and https://docs.stripe.com/api/errors
    verdicts={
        402: Verdict.REFUSE,
        403: Verdict.REAUTHORISE,
        409: Verdict.RETRY,
        "rate_limit": Verdict.THROTTLED,
        "lock_timeout": Verdict.RETRY,
        "idempotency_key_in_use": Verdict.RETRY,
        "idempotency_error": Verdict.UNKNOWN,
        "replayed_failure": Verdict.UNKNOWN,
        "resource_missing": Verdict.GONE,
        # A 404 that speaks of a URL: a wrong api_base, or something between us and Stripe, and no deletion.
        "not_stripe": Verdict.UNKNOWN,
        "wrong_mode": Verdict.REAUTHORISE,
        "no_api_key": Verdict.REAUTHORISE,
    },
    custom=CustomFields(
        prefix=METADATA,
        title="metadata key",
        max_length=METADATA_VALUE_LENGTH,
        max_key=METADATA_KEY_LENGTH,
        forbidden="[]",
        reserved=(*TAGS, MARK),
    ),
    tags=TAGS,
    texts=("description",),
    poll_interval=300.0,
    # Keys are kept for at least 24 hours: https://docs.stripe.com/api/idempotent_requests
    key_lifetime=23 * 3600.0,
)
