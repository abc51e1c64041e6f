"""What an app does: the behaviour beside the declarations in `services.contracts.app`.

ingest hosts the reading half, connectors the writing half. An app makes one attempt per call: it never sleeps,
never retries and never raises for an answer it can name (`Trouble`).
"""

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

import httpx2
import msgspec

from services.contracts.app import CursorLost, Delivery, Gone, Manifest, Page, Reading, Rejected, Seen, Trouble, Wake
from services.contracts.commands import Write
from services.contracts.receipts import Refused, Stale, Unchanged, Written
from services.runtime.clock import Clock
from services.runtime.tokens import Keeper


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """One account, ready to be called."""

    account: str
    settings: Mapping[str, str]
    credentials: Mapping[str, tuple[str, ...]]
    http: httpx2.AsyncClient
    clock: Clock
    """The database's clock: orders of observations are taken from it where the app dates nothing itself."""
    keeper: Keeper | None = None
    """Where tokens that rotate are kept; None: nowhere, an app keeps them in memory."""


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """What the ledger knows of a write that is about to be sent."""

    key: str
    """The idempotency key: the same for every repetition, another one only after proof of absence."""
    n: int
    """How often the write was sent before."""
    first: int | None = None
    """When it was first sent, microseconds since 1970; None if never."""


class Absence(msgspec.Struct, frozen=True, kw_only=True):
    """Proof that a write of unknown outcome was not applied: it may be sent anew."""

    reason: str


class Undecided(msgspec.Struct, frozen=True, kw_only=True):
    """The proof isn't possible yet; ask again after `after` seconds."""

    reason: str
    after: float


class App(Protocol):
    """One app. Everything about it is behind these functions."""

    @property
    def manifest(self) -> Manifest:
        """What the app declares."""
        ...

    def verify(self, delivery: Delivery, secrets: Sequence[str], now: float) -> Rejected | None:
        """Return None if the delivery's sender knows one of the secrets and it is fresh at `now` (unix seconds)."""
        ...

    def read(self, delivery: Delivery) -> tuple[Reading, ...] | Wake | Rejected:
        """Return the events in a verified delivery; none for a type that isn't ours to know.

        A `Wake` has the delivery's account polled at once.
        """
        ...

    async def scan(self, access: Access, cursor: str | None) -> Page | CursorLost | Trouble:
        """Return one page of all contacts. The last page's cursor is where the change feed starts."""
        ...

    async def poll(self, access: Access, cursor: str) -> Page | CursorLost | Trouble:
        """Return one page of the change feed after `cursor`."""
        ...

    async def look(self, access: Access, contact_id: str) -> Seen | Gone | Trouble:
        """Read one contact."""
        ...

    async def find(self, access: Access, address: str) -> tuple[Seen, ...] | Trouble:
        """Return the live contacts that have the normalized address."""
        ...

    async def write(
        self, access: Access, command: Write, attempt: Attempt
    ) -> Written | Unchanged | Refused | Stale | Trouble:
        """Send one write once."""
        ...

    async def settle(
        self, access: Access, command: Write, attempt: Attempt
    ) -> Written | Stale | Absence | Undecided | Trouble:
        """Find out what became of a write whose outcome is unknown, by reading. Writes nothing."""
        ...


@runtime_checkable
class Batches(Protocol):
    """What an app has besides if it takes several writes in one request. Having it is the declaration."""

    async def write_all(
        self, access: Access, writes: Sequence[tuple[Write, Attempt]]
    ) -> Sequence[Written | Unchanged | Refused | Stale | Trouble] | Trouble:
        """Send these writes once, in one request: 2 to `manifest.batch`, none of them sent before.

        Returns an answer for each, in their order; `Trouble` if there is one for the request as a whole. What needs
        more than that request is answered with `Trouble` whose verdict is RETRY: it is then sent by itself.
        """
        ...


@runtime_checkable
class Prepares(Protocol):
    """What an app has besides if `verify` needs keys that its own servers publish. Having it is the declaration."""

    async def prepare(self, access: Access, delivery: Delivery) -> Trouble | None:
        """Have the keys at hand that `verify` needs for this delivery; ingest awaits it before.

        Nothing about the delivery is proved yet, so it costs at most one request per lifetime of the keys, however
        many ask. `Trouble` says that they can't be had now, which isn't the sender's fault.
        """
        ...


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A plan that an account has: what a rule's `subscribed_to` may call it by, and what people call it."""

    price: str
    product: str = ""
    lookup_key: str = ""
    title: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """Everything that it may be called by in a rule."""
        return tuple(name for name in (self.lookup_key, self.price, self.product) if name)


class Catalog(msgspec.Struct, frozen=True, kw_only=True):
    """The plans of an account, as its app listed them."""

    plans: tuple[Plan, ...]
    whole: bool
    """Whether these are all: a very long list is cut short."""


@runtime_checkable
class Sells(Protocol):
    """What an app has besides if it can list an account's plans: the object `PLANS` of a module `plans` in its folder.

    Having it is the declaration. The access that it is given has no keeper: it isn't for apps whose tokens rotate.
    """

    async def plans(self, access: Access) -> Catalog | Trouble:
        """List the account's plans, those no longer sold too, in a bounded number of requests.

        `Trouble` says in its detail what the login lacks, where that is the reason.
        """
        ...
