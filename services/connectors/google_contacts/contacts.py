"""Google Contacts as an app: what its modules do, behind the runner's and ingest's protocol."""

from collections.abc import Sequence

from services.connectors.google_contacts import feed, lookup, manifest, settle, verify
from services.connectors.google_contacts.certificate import Certificates
from services.connectors.google_contacts.client import Client
from services.connectors.google_contacts.label import Labels
from services.connectors.google_contacts.lookup import Recent
from services.connectors.google_contacts.token import Tokens
from services.connectors.google_contacts.write import Writer
from services.contracts.app import CursorLost, Delivery, Gone, Manifest, Page, Reading, Rejected, Seen, Trouble, Wake
from services.contracts.commands import Write
from services.contracts.receipts import Refused, Stale, Unchanged, Written
from services.runtime.app import Absence, Access, Attempt, Undecided


class GoogleContacts:
    """A Google account's contacts.

    One instance serves every account. In memory it keeps access tokens, labels' names, Google's certificates and what
    it wrote lately; all of that can get lost.
    """

    def __init__(self, certificates: Certificates | None = None) -> None:
        self._certificates = certificates or Certificates()
        self._tokens = Tokens()
        self._labels = Labels()
        self._recent = Recent()

    @property
    def manifest(self) -> Manifest:
        """What Google Contacts declares."""
        return manifest.MANIFEST

    async def prepare(self, access: Access, delivery: Delivery) -> Trouble | None:
        """Have Google's certificates at hand if the delivery could be a Pub/Sub push of this account."""
        if not verify.is_signed(delivery, access.credentials.get("webhook_secrets", ())):
            return None
        return await self._certificates.prepare(access)

    def verify(self, delivery: Delivery, secrets: Sequence[str], now: float) -> Rejected | None:
        """Return None if a push channel or a Pub/Sub subscription of this account sent it."""
        return verify.verify(delivery, secrets, now, self._certificates.of(delivery.account))

    def read(self, delivery: Delivery) -> tuple[Reading, ...] | Wake | Rejected:
        """Return no event, as a notification names no contact: the feed has news."""
        return verify.read(delivery)

    async def scan(self, access: Access, cursor: str | None) -> Page | CursorLost | Trouble:
        """Return one page of all contacts."""
        return await feed.scan(self._client(access), self._labels, cursor)

    async def poll(self, access: Access, cursor: str) -> Page | CursorLost | Trouble:
        """Return one page of the contacts changed and deleted since the cursor."""
        return await feed.poll(self._client(access), self._labels, cursor)

    async def look(self, access: Access, contact_id: str) -> Seen | Gone | Trouble:
        """Read one contact."""
        client = self._client(access)
        found = await lookup.look(client, contact_id)
        if not isinstance(found, tuple):
            return found
        names = await self._labels.naming(client, found[0].groups)
        return names if isinstance(names, Trouble) else found[0].seen(names, found[1])

    async def find(self, access: Access, address: str) -> tuple[Seen, ...] | Trouble:
        """Return the contacts that have the normalized e-mail address."""
        return await lookup.find(self._client(access), self._labels, self._recent, address)

    async def write(
        self, access: Access, command: Write, attempt: Attempt
    ) -> Written | Unchanged | Refused | Stale | Trouble:
        """Send one write once; a lost guard costs one reading and a second try (P14)."""
        return await Writer(self._client(access), self._labels, self._recent).write(command, attempt)

    async def settle(
        self, access: Access, command: Write, attempt: Attempt
    ) -> Written | Stale | Absence | Undecided | Trouble:
        """Find out by our marks whether a write was applied."""
        return await settle.settle(self._client(access), self._labels, self._recent, command, attempt)

    def _client(self, access: Access) -> Client:
        return Client(access, self._tokens)
