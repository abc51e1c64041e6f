"""Two accounts that answer at once: for tests in which only what people do, and what is written, matters."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from msgspec.structs import replace

from services.contracts.app import Ability, Field, Manifest
from services.contracts.commands import Command, Create, Tag, Untag, Update, Write
from services.contracts.connection import Connection, Direction, Options
from services.contracts.contact import Fields, Subscription
from services.contracts.events import ContactChanged
from services.contracts.rule import Action, Condition, FieldIs, Rule, SetTag, SetText
from services.sync.core.mapping import Config, compile_config
from services.sync.core.state import Link, Record, SubscriptionRecord
from tests.core.bench import BOOK, CARD, SHOP, Bench, order, writes

TIER = Field(path="tier", canonical=None, type="text")
MEMO = Field(path="memo", canonical=None, type="text")
PLANS_SHOP: Manifest = replace(
    SHOP, fields=(*SHOP.fields, TIER, MEMO), abilities=SHOP.abilities | {Ability.SUBSCRIPTIONS}
)
"""A shop with two fields that no default mapping line takes, and with subscriptions."""
TIERED_BOOK: Manifest = replace(BOOK, fields=(*BOOK.fields, TIER, MEMO))
MANIFESTS = {"shop": PLANS_SHOP, "office": TIERED_BOOK}

ADA: Fields = {"name": ("Ada King",), "email": ("ada@example.com",), "phone": ("+1 202 555 0101",)}
GOLD: Fields = {**ADA, "tier": ("gold",)}
IS_GOLD = FieldIs(path="tier", operator="equals", values=("gold",))
VIP = SetTag(name="VIP")
MEMBER = SetText(path="memo", text="member")
ALL_BACK = Rule(source="right")
"""The right side's rule that keeps every pair in the sync."""


def gold(*actions: Action, undo: bool = True) -> Rule:
    """Return the rule: whoever is gold in the shop is synced, and this is done in the office."""
    return Rule(source="left", conditions=(IS_GOLD,), actions=actions, undo=undo)


def connection(*rules: Rule, direction: Direction = "two_way") -> Connection:
    """Return the connection of shop and office with these rules."""
    options = Options(sync_deletions="both")
    return Connection(
        name="shop-office", left="shop", right="office", rules=rules, direction=direction, options=options
    )


def config(*rules: Rule, direction: Direction = "two_way") -> Config:
    """Return that connection in force."""
    return compile_config(connection(*rules, direction=direction), 1, MANIFESTS, paused=False)


def known(
    fields: Fields, *, tags: Iterable[str] = (), account: str = "shop", subscriptions: Iterable[Subscription] = ()
) -> Record:
    """Return what would be known of such a contact."""
    contact = Bench().changed(account, "cus", fields, tags=tags).contact
    running = {each.id: SubscriptionRecord(subscription=each, order=order(0)) for each in subscriptions}
    return Record(account=account, contact_id="cus", contact=contact, order=order(0), subscriptions=running)


def left(*conditions: Condition) -> Rule:
    """Return a rule of the shop's side without actions."""
    return Rule(source="left", conditions=conditions)


def right(*conditions: Condition) -> Rule:
    """Return a rule of the office's side without actions."""
    return Rule(source="right", conditions=conditions)


@dataclass
class Scene:
    """What stands in both accounts, and everything that was written there."""

    bench: Bench
    fields: dict[tuple[str, str], Fields] = field(default_factory=dict)
    tags: dict[tuple[str, str], frozenset[str]] = field(default_factory=dict)
    written: list[Write] = field(default_factory=list)
    at: float = 0

    def person(
        self, account: str, contact_id: str, fields: Fields | None = None, *, tags: Iterable[str] | None = None
    ) -> list[Command]:
        """A person changes a contact; return what that led to, unanswered. What isn't given stays as it is."""
        key = (account, contact_id)
        self.at += 100
        self.fields[key] = self.fields.get(key, {}) if fields is None else fields
        self.tags[key] = self.tags.get(key, frozenset()) if tags is None else frozenset(tags)
        return self.bench.take(self.seen(account, contact_id))

    def seen(self, account: str, contact_id: str) -> ContactChanged:
        """Return the news of a contact as it stands there now."""
        key = (account, contact_id)
        return self.bench.changed(account, contact_id, self.fields[key], tags=self.tags[key], at=self.at)

    def gone(self, account: str, contact_id: str) -> list[Command]:
        """A person deletes a contact; return what that led to once signs of a merge were waited for."""
        self.at += 100
        told = self.bench.take(self.bench.deleted(account, contact_id, at=self.at))
        return told + self.bench.wait(3)

    def carry_out(self, commands: Iterable[Command]) -> list[Write]:
        """Do what is asked, and what follows from it, until nothing does; return all writes."""
        done: list[Write] = []
        queue = list(commands)
        while queue:
            now = writes(queue)
            queue = []
            for write in now:
                done.append(write)
                queue += self.answer(write)
            queue += self.bench.sweep()
            if len(done) > 50:
                raise AssertionError("it writes for ever")
        self.written += done
        return done

    def answer(self, write: Write) -> list[Command]:
        """Do one thing and answer; return what that led to."""
        contact_id = "new" if isinstance(write, Create) else write.contact_id
        key = (write.aim.account, contact_id)
        tags = self.tags.get(key, frozenset())
        match write:
            case Create(fields=fields) | Update(fields=fields):
                after = {**self.fields.get(key, {}), **fields}
                self.fields[key] = {path: values for path, values in after.items() if values}
            case Tag(tag=tag):
                tags |= {tag}
            case Untag(tag=tag):
                tags -= {tag}
        self.tags[key] = tags
        self.at += 10
        receipt = self.bench.written(write, self.fields[key], at=self.at, contact_id=contact_id, tags=tags)
        return self.bench.take(receipt)

    def tagged(self, account: str, contact_id: str) -> set[str]:
        """Return the tags that stand on a contact."""
        return set(self.tags[account, contact_id])

    def link(self) -> Link:
        """Return the only link."""
        return self.bench.link()

    def configure(self, *rules: Rule, direction: Direction = "two_way") -> list[Command]:
        """Put other rules in force; return what the reconsidered links led to, unanswered."""
        self.bench.configure(connection(*rules, direction=direction), version=self.bench.version + 1)
        return self.bench.sweep()


def pair_of(
    *rules: Rule, shop: Fields = GOLD, office: Fields = CARD, direction: Direction = "two_way", tags: Iterable[str] = ()
) -> Scene:
    """Return a scene with the pair `cus` and `card`, made under these rules, with everything answered."""
    bench = Bench(connection=connection(*rules, direction=direction), manifests=dict(MANIFESTS), scanned=frozenset())
    scene = Scene(bench)
    scene.fields = {("shop", "cus"): dict(shop), ("office", "card"): dict(office)}
    scene.tags = {("shop", "cus"): frozenset(), ("office", "card"): frozenset(tags)}
    told = bench.take(scene.seen("shop", "cus"), scene.seen("office", "card"))
    bench.state.scanned = frozenset({"shop", "office"})
    told += bench.wake("scan")
    scene.carry_out(told)
    return scene


def alone(*rules: Rule, manifests: dict[str, Manifest] | None = None, direction: Direction = "two_way") -> Scene:
    """Return a scene without any contact under these rules; both first scans have ended."""
    return Scene(Bench(connection=connection(*rules, direction=direction), manifests=manifests or dict(MANIFESTS)))
