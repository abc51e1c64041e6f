"""QuickBooks Online as an app: what its modules do, behind the runner's and ingest's protocol."""

from collections.abc import Sequence

from services.connectors.quickbooks import feed, lookup, manifest, settle, verify
from services.connectors.quickbooks.client import Client
from services.connectors.quickbooks.customer import Customer
from services.connectors.quickbooks.manifest import REALM
from services.connectors.quickbooks.write import Writer, write_all
from services.contracts.app import CursorLost, Delivery, Gone, Manifest, Page, Reading, Rejected, Seen, Trouble, Wake
from services.contracts.commands import Write
from services.contracts.receipts import Refused, Stale, Unchanged, Written
from services.runtime.app import Absence, Access, Attempt, Undecided
from services.runtime.tokens import Keeper, MemoryKeeper


class QuickBooks:
    """The customers of QuickBooks companies.

    One instance serves every account. In memory it keeps which company each account is; that can get lost. Tokens are
    kept by the access's `keeper`, where it has one, else by the one given here, else in memory: only what keeps them
    in the store lets a replaced refresh token outlive this process.
    """

    def __init__(self, keeper: Keeper | None = None) -> None:
        self._keeper = keeper or MemoryKeeper()
        self._realms: dict[str, str] = {}

    @property
    def manifest(self) -> Manifest:
        """What QuickBooks Online declares."""
        return manifest.MANIFEST

    async def prepare(self, access: Access, delivery: Delivery) -> Trouble | None:
        """Learn which company the account is, so that other companies' webhooks can be told from its own."""
        self._realms[delivery.account] = access.settings.get(REALM, "")
        return None

    def verify(self, delivery: Delivery, secrets: Sequence[str], now: float) -> Rejected | None:
        """Return None if the delivery is signed with one of the verifier tokens."""
        return verify.verify(delivery, secrets, now)

    def read(self, delivery: Delivery) -> tuple[Reading, ...] | Wake | Rejected:
        """Return which of the account's customers are to be looked at."""
        return verify.read(delivery, self._realms.get(delivery.account))

    async def scan(self, access: Access, cursor: str | None) -> Page | CursorLost | Trouble:
        """Return one page of all customers; inactive ones are gone."""
        return await feed.scan(self._client(access), cursor)

    async def poll(self, access: Access, cursor: str) -> Page | CursorLost | Trouble:
        """Return the customers that changed since the cursor."""
        return await feed.poll(self._client(access), cursor)

    async def look(self, access: Access, contact_id: str) -> Seen | Gone | Trouble:
        """Read one customer."""
        found = await lookup.look(self._client(access), contact_id)
        return found.seen() if isinstance(found, Customer) else found

    async def find(self, access: Access, address: str) -> tuple[Seen, ...] | Trouble:
        """Return the active customers that have the normalized e-mail address."""
        return await lookup.find(self._client(access), address)

    async def write(
        self, access: Access, command: Write, attempt: Attempt
    ) -> Written | Unchanged | Refused | Stale | Trouble:
        """Send one write once, under the SyncToken that it was decided on."""
        return await Writer(self._client(access), attempt).write(command)

    async def write_all(
        self, access: Access, writes: Sequence[tuple[Write, Attempt]]
    ) -> Sequence[Written | Unchanged | Refused | Stale | Trouble] | Trouble:
        """Send several writes in one request; what that can't do is answered `alone`, and goes by itself."""
        client = self._client(access)
        return await write_all(client, writes)

    async def settle(
        self, access: Access, command: Write, attempt: Attempt
    ) -> Written | Stale | Absence | Undecided | Trouble:
        """Find out by reading whether a write was applied."""
        return await settle.settle(self._client(access), command, attempt)

    def _client(self, access: Access) -> Client:
        return Client(access, access.keeper or self._keeper)
