"""The stories of the golden histories: each is told once, recorded, and decided again by every later version."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msgspec.structs import replace

from services.contracts.app import UNSUBSCRIBES
from services.contracts.commands import Create, Find, Tag, Untag, Update
from services.contracts.connection import Connection, Options
from services.contracts.contact import Fields
from services.contracts.events import ContactMerged
from services.contracts.receipts import Refused, Stale, Unknown
from tests.core.bench import (
    ADA,
    CARD,
    ONE_WAY,
    TRASH,
    TWO_WAY,
    absent,
    answer,
    looks,
    only,
    phone,
    tel,
    writes,
)
from tests.core.scene import ALL_BACK, GOLD, MEMBER, VIP, connection, gold
from tests.golden.teller import Teller

RIGHT: Connection = replace(TWO_WAY, winner="right")
OPTED: Connection = replace(TWO_WAY, options=Options(sync_unsubscribes="left_to_right"))


def started(left: str = "shop", right: str = "book") -> Teller:
    """Both accounts, of these apps, read for the first time, without any contact."""
    teller = Teller(apps={"shop": left, "office": right})
    for account in ("shop", "office"):
        teller.finish_scan(account)
    return teller


def in_step(
    connection: Connection = TWO_WAY,
    *,
    shop: Fields = ADA,
    office: Fields = CARD,
    left: str = "shop",
    right: str = "book",
) -> Teller:
    """A pair of accounts of these apps that is in step."""
    teller = Teller(connection=connection, apps={"shop": left, "office": right})
    teller.paired(shop, office)
    return teller


def create() -> Teller:
    """A new contact is made on the other side, and its echo comes."""
    teller = started()
    made = only(teller.take(teller.changed("shop", "cus", ADA, at=1)), Create)
    teller.take(teller.done(made, made.fields, at=3))
    teller.take(teller.changed("office", "made", made.fields, at=4, mark=made.aim.link))
    return teller


def asked_first() -> Teller:
    """An app whose feed lags is asked before a contact is made there."""
    teller = started(right="asked_book")
    find = only(teller.take(teller.changed("shop", "cus", ADA, at=1)), Find)
    made = only(teller.take(absent(find)), Create)
    teller.take(teller.done(made, made.fields, at=3))
    return teller


def pair() -> Teller:
    """Two contacts of one person are paired; what one lacks flows."""
    return in_step(shop={**ADA, "phone": phone("07")}, office={key: CARD[key] for key in ("n", "email")})


def conflict() -> Teller:
    """Both sides change one field at once: the winner's value stays."""
    teller = in_step(RIGHT)
    update = only(teller.take(teller.changed("shop", "cus", {**ADA, "phone": phone("11")}, at=100)), Update)
    teller.take(teller.changed("office", "card", {**CARD, "tel": tel("12")}, at=101))
    seen = teller.written(update, {**CARD, "tel": tel("12")}, at=103)
    assert seen.outcome.seen is not None  # type: ignore[union-attr]
    back = teller.take(answer(update, Stale(seen=seen.outcome.seen)))  # type: ignore[union-attr]
    teller.carry_out(back, {"shop": {**ADA, "phone": phone("11")}, "office": {**CARD, "tel": tel("12")}}, at=105)
    return teller


def deletion() -> Teller:
    """A contact is deleted: its partner gets the tag, once, after a second look."""
    teller = in_step()
    teller.take(teller.deleted("office", "card", at=100))
    tag = only(writes(teller.wait(5)), Tag)
    assert tag.tag == TRASH
    teller.take(teller.written(tag, ADA, at=110, tags=[TRASH]))
    teller.take(teller.changed("shop", "cus", ADA, at=111, tags=[TRASH]))
    return teller


def restore() -> Teller:
    """A deleted contact comes back: the tag goes."""
    teller = deletion()
    untag = only(writes(teller.take(teller.changed("office", "card", CARD, at=200))), Untag)
    teller.take(teller.written(untag, ADA, at=210))
    return teller


def merge() -> Teller:
    """An app tells that a contact was merged into another one: the link follows."""
    teller = in_step()
    other: Fields = {**CARD, "email": ("ada@example.com", "ada.king@example.com")}
    asked = teller.take(ContactMerged(account="office", contact_id="card", into="other", origin="feed"))
    for look in looks(asked):
        teller.take(teller.looked(look, other if look.contact_id == "other" else None, at=100))
    teller.wait(5)
    return teller


def duplicate() -> Teller:
    """A second contact with the address of a paired one stands back, until that one goes."""
    teller = in_step()
    teller.take(teller.changed("shop", "twin", ADA, at=100))
    teller.take(teller.changed("shop", "twin", {**ADA, "email": ("twin@example.com",)}, at=110))
    return teller


def rule() -> Teller:
    """A contact comes under a rule, which tags it and writes a text; then it leaves, and both are taken back."""
    teller = in_step(connection(gold(VIP, MEMBER), ALL_BACK), left="plans_shop", right="tiered_book")
    contacts: dict[str, Fields] = {"shop": dict(GOLD), "office": dict(CARD)}
    tags: set[str] = set()
    for at, fields in ((100, GOLD), (200, ADA)):
        commands = teller.take(teller.changed("shop", "cus", fields, at=at))
        for turn in range(1, 6):
            answers = []
            for command in writes(commands):
                if isinstance(command, Update):
                    contacts["office"] = {**contacts["office"], **command.fields}
                if isinstance(command, Tag):
                    tags.add(command.tag)
                if isinstance(command, Untag):
                    tags.discard(command.tag)
                answers.append(teller.written(command, contacts["office"], at=at + turn * 5, tags=tags))
            commands = [each for receipt in answers for each in teller.take(receipt)]
    return teller


def pause() -> Teller:
    """While a connection is paused nothing is written; when it goes on, what changed meanwhile is."""
    teller = in_step()
    teller.configure(paused=True)
    teller.take(teller.changed("shop", "cus", {**ADA, "phone": phone("21")}, at=100))
    contacts: dict[str, Fields] = {"office": dict(CARD)}
    teller.carry_out(teller.resume(), contacts, at=120)
    return teller


def direction() -> Teller:
    """Two ways become one: the target's edits no longer flow, the source's do."""
    teller = in_step()
    teller.configure(ONE_WAY, version=2)
    teller.sweep()
    teller.take(teller.changed("office", "card", {**CARD, "tel": tel("31")}, at=100))
    commands = teller.take(teller.changed("shop", "cus", {**ADA, "name": ("Ada Lovelace",)}, at=110))
    teller.carry_out(commands, {"office": {**CARD, "tel": tel("31")}}, at=120)
    return teller


def email() -> Teller:
    """A changed address waits for a person, who lets it go."""
    teller = in_step()
    teller.take(teller.changed("office", "card", {**CARD, "email": ("ada.king@example.com",)}, at=100))
    teller.carry_out(teller.say("left", "email", approved=True), {"shop": dict(ADA)}, at=120)
    return teller


def refused() -> Teller:
    """A value that the app refuses rests until it changes."""
    teller = in_step()
    update = only(teller.take(teller.changed("shop", "cus", {**ADA, "phone": phone("41")}, at=100)), Update)
    teller.take(answer(update, Refused(reason="it isn't a number there", fields=("tel",))))
    teller.take(teller.changed("shop", "cus", {**ADA, "phone": phone("41"), "name": ("Ada L",)}, at=110))
    teller.take(teller.changed("shop", "cus", {**ADA, "phone": phone("42")}, at=120))
    return teller


def unknown() -> Teller:
    """Nobody knows what became of a write; it is sent again, and then it was done all along."""
    teller = in_step()
    update = only(teller.take(teller.changed("shop", "cus", {**ADA, "phone": phone("51")}, at=100)), Update)
    teller.take(answer(update, Unknown(reason="no answer came", since=teller.state.now)))
    teller.wait(1200)
    teller.take(teller.written(update, {**CARD, "tel": tel("51")}, at=1300))
    return teller


def stale() -> Teller:
    """A write is refused since the contact isn't what it was; both changes come together."""
    teller = in_step()
    update = only(teller.take(teller.changed("shop", "cus", {**ADA, "phone": phone("61")}, at=100)), Update)
    note: Fields = {**CARD, "note": ("met in May",)}
    seen = teller.written(update, note, at=103).outcome.seen  # type: ignore[union-attr]
    assert seen is not None
    commands = teller.take(answer(update, Stale(seen=seen)))
    teller.carry_out(commands, {"shop": {**ADA, "phone": phone("61")}, "office": note}, at=110)
    return teller


def unsubscribe() -> Teller:
    """Who unsubscribes is tagged on the other side, and who subscribes again isn't any more."""
    teller = in_step(OPTED, left="mailer")
    event = teller.changed("shop", "cus", ADA, at=100)
    tag = only(teller.take(replace(event, contact=replace(event.contact, unsubscribed=True))), Tag)
    assert tag.tag == UNSUBSCRIBES
    teller.take(teller.written(tag, CARD, at=110, tags=[UNSUBSCRIBES]))
    untag = only(teller.take(teller.changed("shop", "cus", ADA, at=120)), Untag)
    teller.take(teller.written(untag, CARD, at=130))
    return teller


STORIES: Mapping[str, Callable[[], Teller]] = {
    story.__name__: story
    for story in (
        create,
        asked_first,
        pair,
        conflict,
        deletion,
        restore,
        merge,
        duplicate,
        rule,
        pause,
        direction,
        email,
        refused,
        unknown,
        stale,
        unsubscribe,
    )
}
