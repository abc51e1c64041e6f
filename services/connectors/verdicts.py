"""What an answer that isn't a success means: one table for all apps, in which an app's manifest overrides rows."""

from collections.abc import Mapping

from services.contracts.app import Manifest, Trouble, Verdict

NOT_SENT = "not_sent"
"""No connection came about: the request can't have arrived."""
UNANSWERED = "unanswered"
"""It was sent, wholly or in part, and no answer came back."""

DEFAULTS: Mapping[int | str, Verdict] = {
    NOT_SENT: Verdict.RETRY,
    UNANSWERED: Verdict.UNKNOWN,
    401: Verdict.REAUTHORISE,
    404: Verdict.GONE,
    408: Verdict.UNKNOWN,  # the server gave up waiting, and says nothing about what it had begun
    409: Verdict.STALE,
    410: Verdict.GONE,
    412: Verdict.STALE,
    425: Verdict.RETRY,  # RFC 8470, section 5.2: the request wasn't processed
    428: Verdict.STALE,
    429: Verdict.THROTTLED,  # RFC 6585, section 4
}
"""HTTP status or transport's word -> verdict. Statuses that aren't here: see `verdict_on`."""


def verdict_on(trouble: Trouble, manifest: Manifest) -> Verdict:
    """Return what follows from `trouble` for this app.

    A status that no table has is REFUSE where the answer blames the request (3xx, 4xx), else UNKNOWN: a server that
    failed may have done its work first, and so may one whose word we don't know.
    """
    for table in (manifest.verdicts, DEFAULTS):
        if (verdict := table.get(trouble.key)) is not None:
            return verdict
    if isinstance(trouble.key, int) and 300 <= trouble.key < 500:
        return Verdict.REFUSE
    return Verdict.UNKNOWN


def is_failure(trouble: Trouble, verdict: Verdict) -> bool:
    """Whether the trouble is the account's or the network's rather than the request's: what a breaker counts."""
    if verdict is Verdict.THROTTLED or trouble.key in (NOT_SENT, UNANSWERED):
        return True
    return isinstance(trouble.key, int) and trouble.key >= 500
