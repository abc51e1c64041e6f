"""What CardDAV declares."""

from services.contracts.app import Ability, Credential, Field, Manifest, Pace, Setting, Verdict

MANIFEST = Manifest(
    name="carddav",
    title="CardDAV",
    docs="https://www.rfc-editor.org/rfc/rfc6352",
    credentials=(Credential(key="password", title="Password, or an app password where the server has them"),),
    settings=(
        Setting(
            key="url",
            title="Address of the address book, or of the server if it has only one",
            required=True,
            # The password travels with every request: unencrypted only within this machine or a private network,
            # whose names have one label.
            pattern=r"https://[^\s?#@]+|http://([A-Za-z0-9_-]+|127\.0\.0\.1|\[::1\])(:[0-9]+)?(/[^\s?#@]*)?",
            example="https://dav.example.org/ada/contacts/",
        ),
        Setting(key="username", title="User name", required=True, example="ada"),
        Setting(
            key="poll_seconds",
            title="Seconds between two questions for changes",
            default="5",
            pattern=r"[0-9]+(\.[0-9]+)?",
            example="60",
        ),
    ),
    fields=(
        Field(path="name", canonical="name", type="name", required=True),
        Field(path="email", canonical="email", type="email", multi=True),
        Field(path="phone", canonical="phone", type="phone", multi=True),
        Field(path="address", canonical="address", type="address", multi=True),
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
            # A query sees a card at once, the feed at its next poll.
            Ability.FIND_SEES_MORE,
        }
    ),
    # No limit is documented for a server of one's own. Small ones lock the whole book for a write: what Stripe takes
    # per endpoint leaves them room for people.
    pace=Pace(poll=2, read=20, write=20, burst=10),
    parallel=4,
    verdicts={
        # Servers answer 403 also for a single card that they don't take; the login is questioned by 401.
        403: Verdict.REFUSE,
        409: Verdict.REFUSE,
        415: Verdict.REFUSE,
        423: Verdict.RETRY,  # locked by another request for a moment (RFC 4918 section 11.3)
        507: Verdict.REFUSE,  # no storage left for this card
        "unreadable_card": Verdict.REFUSE,
        "another_book": Verdict.REFUSE,
        "no_address_book": Verdict.REAUTHORISE,  # nothing works before a person corrects the setting
        "several_address_books": Verdict.REAUTHORISE,
        "no_change_feed": Verdict.REAUTHORISE,
        "bad_setting": Verdict.REAUTHORISE,
        "too_large": Verdict.REFUSE,
        "not_sent": Verdict.RETRY,
        "unanswered": Verdict.UNKNOWN,
    },
    # One small request that is answered from an index: changes are to arrive in seconds.
    poll_interval=5.0,
    tag_word="category",
    polled=True,
)
"""CardDAV's manifest."""
