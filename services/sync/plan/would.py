"""What a plan says: each thing that would be done, counts of them, and the id that an approval names."""

from collections import Counter
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Literal, TypeAlias

import msgspec

from services.sync.explain.report import Change

Kind: TypeAlias = Literal[
    "create", "update", "tag", "untag", "link", "exclude", "return", "duplicate", "hold", "refuse"
]
WRITES: tuple[Kind, ...] = ("create", "update", "tag", "untag")
KINDS: tuple[Kind, ...] = (*WRITES, "link", "exclude", "return", "duplicate", "hold", "refuse")


class Would(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that would be done."""

    connection: str
    link: str
    kind: Kind
    account: str
    """The account that would be written; for anything else than a write, that of the contact."""
    contact: str | None = None
    """Its id in its app; None for one that would be made."""
    of: str = ""
    """The contact that it is decided for, as ACCOUNT/CONTACT."""
    who: str = ""
    """An e-mail address or a name, for people."""
    changes: tuple[Change, ...] = ()
    tag: str | None = None
    reason: str = ""


@dataclass(kw_only=True)
class Plan:
    """Everything that would come of a file."""

    would: list[Would] = field(default_factory=list)
    waits: dict[str, Counter[str]] = field(default_factory=dict)
    """Connection -> what its links would wait for -> how many."""
    ends: dict[str, int] = field(default_factory=dict)
    """Connection that would be removed -> its links, which are left as they are."""
    contacts: Counter[str] = field(default_factory=Counter)
    """Account -> its live contacts."""
    considered: int = 0
    """Links and contacts that were decided about."""
    unread: tuple[str, ...] = ()
    """Accounts whose contacts aren't known yet: nothing can be said of them."""
    paused: tuple[str, ...] = ()
    """Connections that are paused: nothing is written there until they are resumed."""

    def counts(self) -> dict[str, dict[Kind, int]]:
        """Return connection -> kind -> how many."""
        found: dict[str, Counter[Kind]] = {}
        for each in self.would:
            found.setdefault(each.connection, Counter())[each.kind] += 1
        return {name: {kind: found[name][kind] for kind in KINDS if found[name][kind]} for name in sorted(found)}

    @property
    def writes(self) -> int:
        """How many writes there would be."""
        return sum(each.kind in WRITES for each in self.would)

    def touched(self) -> Counter[str]:
        """Return account -> its existing contacts that would be overwritten or tagged."""
        seen = {
            (each.account, each.contact)
            for each in self.would
            if each.kind in ("update", "tag", "untag") and each.contact is not None
        }
        return Counter(account for account, contact in seen if not contact.startswith("new:"))

    def over(self, percent: float, count: int) -> tuple[str, ...]:
        """Return where the plan is over a limit, as sentences: a share of one account's contacts, or a count of all.

        Contacts that would be made don't count: they are what a new connection is for, and overwrite nothing.
        """
        touched, found = self.touched(), []
        for account in sorted(touched):
            share = 100 * touched[account] / max(1, self.contacts[account])
            if share > percent:
                of = f"{touched[account]} of {self.contacts[account]} contacts"
                found.append(
                    f"{of} in {account} would be overwritten or tagged: {share:.0f} %, the limit is {percent:g} %."
                )
        if touched.total() > count:
            found.append(f"{touched.total()} contacts would be overwritten or tagged, the limit is {count}.")
        return tuple(found)

    def digest(self) -> str:
        """Return what the would-be writes are known by: the same for the same ones, in whatever order."""
        texts = sorted(msgspec.json.encode(_essence(each)) for each in self.would)
        told = blake2b(digest_size=8)
        for text in texts:
            told.update(text + b"\n")
        return told.hexdigest()


def _essence(would: Would) -> tuple[object, ...]:
    """What makes it this one: neither ids that are new each time, nor reasons that may count something."""
    contact = "new" if would.contact is not None and would.contact.startswith("new:") else would.contact
    value = would.reason if would.kind in ("hold", "refuse") else ""
    return would.connection, would.kind, would.account, contact, would.of, would.changes, would.tag, value


class PlanId(msgspec.Struct, frozen=True):
    """What an approval names: the config that was in force, the file, and everything that would be done."""

    version: int
    """Of the config in force when it was planned."""
    file: str
    writes: int
    digest: str

    def __str__(self) -> str:
        return f"{self.version}-{self.file}-{self.writes}-{self.digest}"

    @classmethod
    def read(cls, text: str) -> "PlanId | None":
        """Return what a person typed; None if that is no id."""
        parts = text.strip().split("-")
        if len(parts) != 4 or not (parts[0].isdigit() and parts[2].isdigit()):
            return None
        return cls(int(parts[0]), parts[1], int(parts[2]), parts[3])

    def stale(self, now: "PlanId") -> tuple[str, ...]:
        """Return what has changed since this was planned, as sentences; none if it is the same plan."""
        found = []
        if self.file != now.file:
            found.append("The file says something else than the one that was planned.")
        if self.version != now.version:
            found.append(f"Another file was applied since: version {now.version} is in force, it was {self.version}.")
        if self.digest != now.digest:
            writes = f"{now.writes}" if self.writes == now.writes else f"{now.writes}, it was {self.writes}"
            found.append(f"What would be written isn't the same any more (writes now: {writes}).")
        return tuple(found)


def digest_of(content: bytes) -> str:
    """Return what a file's content is known by."""
    return blake2b(content, digest_size=4).hexdigest()
