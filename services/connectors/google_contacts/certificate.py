"""The certificates that Pub/Sub's tokens are signed with: fetched when a push needs them, kept in memory."""

import asyncio
import re
from collections.abc import Mapping

import httpx2
import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from services.connectors.google_contacts.manifest import CERTIFICATES_URL
from services.contracts.app import Trouble
from services.runtime.app import Access
from services.runtime.http import TooLarge, fetch

Keys = Mapping[str, RSAPublicKey]

PUBSUB = "pubsub:"
"""What a webhook secret begins with that names a Pub/Sub subscription's service account and audience."""
_LIFETIME = 3600.0
"""Seconds that they count where the answer says nothing: Google changes its certificates about daily."""
_SHORTEST, _LONGEST = 60.0, 86_400.0
"""Seconds within which the answer's own lifetime is believed."""
_ANSWER = 5.0
"""Seconds that a push waits for them; its sender waits too."""
_PAUSE = 5.0
"""Seconds after a failure in which nobody asks again."""
_AGE = re.compile(r"max-age=([0-9]{1,9})\b")


class _Held(msgspec.Struct):
    """What one address publishes, as last fetched."""

    flight: asyncio.Lock
    loop: asyncio.AbstractEventLoop
    keys: Keys = {}
    until: float = 0.0
    failed_until: float = 0.0


class Certificates:
    """Public keys by key id, per address that publishes some: an account believes only its own address.

    `pems` are certificates known beforehand, for accounts that never fetched any.
    """

    def __init__(self, pems: Mapping[str, str] | None = None) -> None:
        self._known = keys(pems or {})
        self._held: dict[str, _Held] = {}
        self._addresses: dict[str, str] = {}

    def of(self, account: str) -> Keys:
        """The keys that an account's tokens may be signed with, as prepared."""
        held = self._held.get(self._addresses.get(account, ""))
        return self._known if held is None else held.keys

    async def prepare(self, access: Access) -> Trouble | None:
        """Have the account's keys fetched unless they are still good: once for all who wait.

        Keys past their lifetime don't count: without new ones there is trouble.
        """
        url = access.settings.get("certificates_url") or CERTIFICATES_URL
        self._addresses[access.account] = url
        held = self._held.get(url)
        loop = asyncio.get_running_loop()
        if held is None or held.loop is not loop:  # a lock belongs to the loop that it was made in
            held = self._held[url] = _Held(asyncio.Lock(), loop)
        async with held.flight:
            now = access.clock.monotonic()
            if held.keys and now < held.until:
                return None
            if now >= held.failed_until:
                await _fetch(access, url, held)
                now = access.clock.monotonic()
            if held.keys and now < held.until:
                return None
            return Trouble(
                key="no_certificates",
                detail="Google's certificates can't be fetched now, so no token can be checked. Send it again later.",
                retry_after=max(held.failed_until - now, 0.0),
            )


async def _fetch(access: Access, url: str, held: _Held) -> None:
    found: Keys = {}
    age = None
    try:
        async with asyncio.timeout(_ANSWER):
            response = await fetch(access.http, access.http.build_request("GET", url))
        if response.is_success:
            found = keys(msgspec.json.decode(response.content, type=dict[str, str]))
            age = _AGE.search(response.headers.get("cache-control", ""))
    except (TimeoutError, httpx2.HTTPError, httpx2.InvalidURL, TooLarge, msgspec.DecodeError, UnicodeDecodeError):
        pass  # no answer, or none of Google's form: one failure either way
    now = access.clock.monotonic()
    if not found:
        held.failed_until = now + _PAUSE
        return
    lifetime = float(age[1]) if age else _LIFETIME
    held.keys, held.until = found, now + min(max(lifetime, _SHORTEST), _LONGEST)


def keys(pems: Mapping[str, str]) -> dict[str, RSAPublicKey]:
    """Return the RSA keys of PEM certificates; what can't be read is left out."""
    found = {}
    for ident, pem in pems.items():
        try:
            key = x509.load_pem_x509_certificate(pem.encode()).public_key()
        except ValueError:
            continue
        if isinstance(key, RSAPublicKey):
            found[ident] = key
    return found
