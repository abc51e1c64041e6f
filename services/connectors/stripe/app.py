"""Stripe as an app: everything about it is in this folder."""

from collections.abc import Sequence

from services.connectors.stripe import feed, lookup, manifest, read, settle, verify, write
from services.contracts.app import CursorLost, Delivery, Gone, Manifest, Page, Reading, Rejected, Seen, Trouble
from services.contracts.commands import Write
from services.contracts.receipts import Refused, Stale, Unchanged, Written
from services.runtime.app import Absence, Access, App, Attempt, Undecided


class Stripe:
    """Stripe's customers as contacts. Holds nothing: one instance serves every account."""

    @property
    def manifest(self) -> Manifest:
        """What Stripe declares."""
        return manifest.MANIFEST

    def verify(self, delivery: Delivery, secrets: Sequence[str], now: float) -> Rejected | None:
        """Return None if the webhook is signed with one of the secrets, at most five minutes from `now`."""
        return verify.verify(delivery, secrets, now)

    def read(self, delivery: Delivery) -> tuple[Reading, ...] | Rejected:
        """Return the event in a verified webhook, none for a type that says nothing about a contact."""
        return read.read(delivery)

    async def scan(self, access: Access, cursor: str | None) -> Page | CursorLost | Trouble:
        """Return one page of all customers, newest first."""
        return await feed.scan(access, cursor)

    async def poll(self, access: Access, cursor: str) -> Page | CursorLost | Trouble:
        """Return one page of the events since the cursor, under the ids of their webhooks."""
        return await feed.poll(access, cursor)

    async def look(self, access: Access, contact_id: str) -> Seen | Gone | Trouble:
        """Read one customer with its running subscriptions."""
        return await lookup.look(access, contact_id)

    async def find(self, access: Access, address: str) -> tuple[Seen, ...] | Trouble:
        """Return the customers with an e-mail address."""
        return await lookup.find(access, address)

    async def write(
        self, access: Access, command: Write, attempt: Attempt
    ) -> Written | Unchanged | Refused | Stale | Trouble:
        """Send one write once, under its idempotency key."""
        return await write.write(access, command, attempt)

    async def settle(
        self, access: Access, command: Write, attempt: Attempt
    ) -> Written | Stale | Absence | Undecided | Trouble:
        """Find out by reading whether a write was applied."""
        return await settle.settle(access, command, attempt)


APP: App = Stripe()
