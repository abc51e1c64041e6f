"""What an app declares: pure data that the generic code reads instead of knowing the app."""

from collections.abc import Mapping
from enum import Enum
from math import isfinite
from typing import Literal, TypeAlias

import msgspec

from services.contracts.contact import Contact, Order, Subscription
from services.contracts.events import Event

FieldType: TypeAlias = Literal["text", "email", "phone", "name", "address"]


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """One field of an app's contacts, declared once for reading and writing."""

    path: str
    """The app's own path of the field: the key in `Contact.fields`."""
    canonical: str | None
    """The name under which fields of different apps meet in the default mapping; None: only mapped by hand."""
    type: FieldType
    multi: bool = False
    writable: bool = True
    required: bool = False
    """The app doesn't take a contact without it."""
    max_length: int | None = None
    """Characters the app takes, where it says so."""
    guarded: bool = False
    """A changed value waits for a person's yes before it is written here (Stripe's e-mail: receipts go there)."""


class CustomFields(msgspec.Struct, frozen=True, kw_only=True):
    """Fields that people make up themselves: each a text under a key of its own."""

    prefix: str
    """What their paths begin with, such as `metadata.`; the key follows."""
    title: str
    """What the app calls one, such as `metadata key`."""
    max_length: int | None = None
    """Characters of a value."""
    max_key: int | None = None
    """Characters of a key."""
    forbidden: str = ""
    """Characters that a key can't have."""
    reserved: tuple[str, ...] = ()
    """Keys that are contactsync's own."""
    multi: bool = False
    """A key may have several values."""


TRASH = "PieSync Trash"
"""The tag of a contact whose partner was deleted; the name that the people who use it know."""
UNSUBSCRIBES = "PieSync Unsubscribes"
"""The tag of a contact whose partner no longer wants mail."""


class Ability(Enum):
    """What an app can do; options follow from it."""

    DETECT_DELETION = "detect_deletion"
    TAG = "tag"
    DETECT_UNSUBSCRIBE = "detect_unsubscribe"
    WEBHOOK = "webhook"
    POLL = "poll"
    IDEMPOTENCY_KEY = "idempotency_key"
    GUARD = "guard"
    """Writes can be made under an etag or version."""
    FIND_SEES_MORE = "find_sees_more"
    """A find sees contacts that the feed may show only later: ask before creating."""
    SUBSCRIPTIONS = "subscriptions"
    """Its contacts' subscriptions are known: rules may ask for them."""


SUBSCRIBED = frozenset({"trialing", "active", "past_due"})
"""Statuses of subscriptions that count as subscribed (SEMANTICS B3)."""


class Verdict(Enum):
    """What the runner does about an answer that isn't a success."""

    RETRY = "retry"
    """Nothing was executed: send again after a pause."""
    THROTTLED = "throttled"
    """Nothing was executed and the account's quota is used up: the account pauses, then sends again."""
    UNKNOWN = "unknown"
    """It may have been executed: settle before anything else."""
    REFUSE = "refuse"
    """Nothing was executed, and sending the same again never will be."""
    REAUTHORISE = "reauthorise"
    """The credentials no longer work: the account waits for a person."""
    GONE = "gone"
    """The contact isn't there."""
    STALE = "stale"
    """The guard no longer holds: read, compare, and write once more or give back what is there."""


INTERVAL = "poll_seconds"
"""The setting by which a person changes how often an account is polled."""


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """How fast one account may be asked, in requests per second, split in three (documented limits)."""

    poll: float
    read: float
    """Looks and finds."""
    write: float
    burst: int = 1
    batch: float = 0.0
    """Requests with several writes in them, on top of what `write` says of any request; 0: no limit of their own."""


class Credential(msgspec.Struct, frozen=True, kw_only=True):
    """A secret that an account of this app needs, as a key of the connections file."""

    key: str
    title: str
    required: bool = True
    many: bool = False
    """A list in the file, such as several webhook secrets during a rotation."""
    pattern: str = ""
    """A regular expression that the whole value matches, where the app documents one."""


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """A setting of an account that isn't secret, as a key of the connections file."""

    key: str
    title: str
    required: bool = False
    default: str = ""
    pattern: str = ""
    example: str = ""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """Everything generic code may know about an app."""

    name: str
    """Equal to the app's folder."""
    title: str
    docs: str
    credentials: tuple[Credential, ...]
    settings: tuple[Setting, ...]
    fields: tuple[Field, ...]
    abilities: frozenset[Ability]
    pace: Pace
    custom: CustomFields | None = None
    verdicts: Mapping[int | str, Verdict] = msgspec.field(default_factory=dict)
    """HTTP status or the app's error code -> verdict, where it differs from the defaults."""
    batch: int = 1
    """Writes of one account that go into one request, where the app takes several (`Batches`)."""
    parallel: int = 1
    """Writes to one account that may be under way at once; 1 where the app wants them one after the other."""
    merge_window: float = 2.0
    """Seconds a deletion waits for signs of a merge; those of one poll come on top where only polls show changes."""
    poll_interval: float = 0.0
    """Seconds between polls of the change feed, unless the account's setting says otherwise; 0: no feed."""
    tags: tuple[str, ...] = ()
    """The only tags that its contacts can have; empty: any."""
    tag_word: str = "tag"
    """What the app calls its tags: the word in the file's `has_…` and `add_…`, such as `label`."""
    texts: tuple[str, ...] = ()
    """Paths of fields that a rule may put a fixed text into (`update_description`)."""
    polled: bool = False
    """Changes are learned from polls alone, so that the two halves of a merge may be seen one poll apart."""
    webhook_body: Literal["json", "any"] = "json"
    """What its deliveries' bodies are: JSON and declared so, or whatever it sends, nothing included."""
    key_lifetime: float = 0.0
    """Seconds for which repeating an idempotency key is safe; 0: the app has none."""

    @property
    def patience(self) -> float:
        """Seconds that a deletion waits before it is believed (PROTOCOL P13)."""
        return self.merge_window + (max(self.poll_interval, 0.0) if self.polled else 0.0)

    def field(self, path: str) -> Field | None:
        """Return the field at `path`, a custom one included, or None."""
        declared = next((field for field in self.fields if field.path == path), None)
        if declared is not None or self.custom is None or not path.startswith(self.custom.prefix):
            return declared
        if path == self.custom.prefix:
            return None
        return Field(path=path, canonical=None, type="text", max_length=self.custom.max_length, multi=self.custom.multi)

    def of(self, settings: Mapping[str, str]) -> "Manifest":
        """Return the manifest as it is for an account with these settings: with its own interval."""
        text = settings.get(INTERVAL, "")
        try:
            seconds = float(text)
        except ValueError:
            return self
        return msgspec.structs.replace(self, poll_interval=seconds) if isfinite(seconds) else self


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """One HTTP request that an app made to us, untouched. Header names are in lower case."""

    account: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    received: int
    """Microseconds since 1970."""

    def header(self, name: str) -> str | None:
        """Return the header's only value, or None if it is absent or given more than once."""
        values = [value for key, value in self.headers if key == name]
        return values[0] if len(values) == 1 else None


class Rejected(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery that is not what it claims to be. `reason` is for a person and holds nothing of the body."""

    code: Literal["signature", "timestamp", "encoding", "json", "account"]
    reason: str


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """An event read from a delivery or a page."""

    id: str
    """The app's own id of the event (webhooks), or the contact's id (pages): unique within its source."""
    event: Event
    time: int
    """Microseconds since 1970: when it happened for the app."""


class Wake(msgspec.Struct, frozen=True):
    """What a delivery says that names no contact: the feed of its account has news, so poll it now."""


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """One answer of a change feed or a scan."""

    readings: tuple[Reading, ...]
    cursor: str
    """Where to go on: opaque to everyone but the app."""
    more: bool
    """Another page follows at once."""


class CursorLost(msgspec.Struct, frozen=True, kw_only=True):
    """The app no longer knows the cursor: a scan has to start over."""

    reason: str


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """A contact as a look or a find read it."""

    contact_id: str
    order: Order
    contact: Contact
    object: msgspec.Raw = msgspec.Raw(b"null")
    subscriptions: tuple[Subscription, ...] | None = None


class Gone(msgspec.Struct, frozen=True, kw_only=True):
    """A look found that the contact doesn't exist (any more)."""

    contact_id: str
    order: Order


class Trouble(msgspec.Struct, frozen=True, kw_only=True):
    """An answer that isn't a success, or none at all. The runner's verdict table says what follows."""

    key: int | str
    """HTTP status, or the app's error code where that says more; `not_sent` or `unanswered` for transport."""
    detail: str
    """A sentence for a person, without contact data and secrets."""
    retry_after: float | None = None
    """Seconds, as the app asked."""
    field: str | None = None
    """The app path of the field that the app objects to."""
