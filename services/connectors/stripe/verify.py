"""The signature of a webhook: who sent it, and when."""

import hmac
import re
from collections.abc import Sequence

from services.contracts.app import Delivery, Rejected

HEADER = "stripe-signature"
# Seconds that a signature's time may differ from ours: what Stripe's own libraries allow for the past
# (https://docs.stripe.com/webhooks#verify-manually). They take any future; we don't.
TOLERANCE = 300.0

_TIME = re.compile(r"[0-9]{1,12}\Z")


def verify(delivery: Delivery, secrets: Sequence[str], now: float) -> Rejected | None:
    """Return None if the delivery carries a `v1` signature made with one of the secrets, dated near `now`.

    `now` is in unix seconds. Every secret is tried against every signature, whichever of them fits, so that the
    time it takes says nothing about which did. Signatures of other schemes are ignored.
    """
    usable = [secret for secret in secrets if secret.strip()]
    if not usable:
        return _rejected("this account has no webhook secret: add the endpoint's whsec_… to webhook_secrets")
    header = delivery.header(HEADER)
    if header is None:
        twice = any(name == HEADER for name, _ in delivery.headers)
        return _rejected(f"the {'Stripe-Signature header came twice' if twice else 'delivery is not signed'}")
    items = [item.partition("=")[::2] for item in header.split(",")]
    times = [value for scheme, value in items if scheme == "t"]
    signatures = [value for scheme, value in items if scheme == "v1"]
    if len(times) != 1 or not _TIME.match(times[0]):
        return _rejected("the Stripe-Signature header has no readable time")
    if not signatures:
        return _rejected("the Stripe-Signature header has no v1 signature")
    if not _matches(times[0].encode() + b"." + delivery.body, usable, signatures):
        return _rejected("no signature fits: check that webhook_secrets holds this endpoint's secret")
    if not abs(now - int(times[0])) <= TOLERANCE:
        age = "old" if now > int(times[0]) else "far in the future"
        reason = f"signed too {age} (over {TOLERANCE:.0f} s): a replay, or one of the two clocks is wrong"
        return Rejected(code="timestamp", reason=reason)
    return None


def _matches(signed: bytes, secrets: Sequence[str], signatures: Sequence[str]) -> bool:
    given = [signature.encode("utf-8", "surrogateescape") for signature in signatures]
    found = False
    for secret in secrets:
        expected = hmac.digest(secret.encode(), signed, "sha256").hex().encode()
        for signature in given:
            found |= hmac.compare_digest(expected, signature)
    return found


def _rejected(reason: str) -> Rejected:
    return Rejected(code="signature", reason=reason)
