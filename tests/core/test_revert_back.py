"""What may go back, and what stays and why: of what was written, only what still is as it was written (G6)."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from services.contracts.commands import Aim, Tag, Untag, Update, Version, Write
from services.contracts.contact import Contact, Values
from services.sync.core.mapping import Config, compile_config
from services.sync.core.state import Half, Link, Record
from services.sync.revert.back import Field, Intent, due, intents
from services.sync.revert.chosen import Key, Made
from tests.core.bench import BOOK, SHOP, TWO_WAY, order

CONFIG = compile_config(TWO_WAY, 1, {"shop": SHOP, "office": BOOK}, paused=False)
LINK = Link(
    id="link", connection="shop-office", left=Half(contact_id="cus"), right=Half(contact_id="card"), status="active"
)
INTENT = Intent(
    link="link",
    connection="shop-office",
    side="right",
    contact="card",
    fields=(Field(path="note", ours=(("new",),), back=("old",)),),
)


def made(n: int, answer: str | None = "written", kind: str = "update") -> Made:
    return Made(
        number=n,
        at=datetime(2026, 9, 21, tzinfo=UTC),
        link="link",
        connection="shop-office",
        side="right",
        version=Version(1, n),
        kind=kind,  # type: ignore[arg-type]
        lines=("note",),
        action=None,
        answer=answer,
    )


def aim(n: int) -> Aim:
    version = Version(1, n)
    return Aim(link="link", side="right", version=version, connection="shop-office", config_version=1, account="office")


def update(n: int, before: Values, after: Values) -> Update:
    return Update(aim=aim(n), contact_id="card", fields={"note": after}, expected={"note": before})


def meant(*commands: Write, answers: dict[Key, Contact] | None = None) -> Intent:
    known = {(each.aim.link, each.aim.side, each.aim.version): each for each in commands}
    writes = [made(each.aim.version.n) for each in commands]
    (intent,), left = intents(writes, known, answers or {}, {"shop-office": CONFIG})
    assert left == []
    return intent


def card(*values: str, deleted: bool = False) -> Record:
    contact = Contact(fields={"note": values})
    return Record(account="office", contact_id="card", contact=contact, order=order(0), deleted=deleted)


def test_g6_writes_in_a_row_lead_back_to_what_stood_before_the_first() -> None:
    (field,) = meant(update(1, ("a",), ("b",)), update(2, ("b",), ("c",)), update(3, ("c",), ("d",))).fields
    assert (field.back, field.ours[0]) == (("a",), ("d",))


def test_g6_an_edit_in_between_is_where_it_goes_back_to() -> None:
    (field,) = meant(update(1, ("a",), ("b",)), update(2, ("x",), ("c",))).fields
    assert field.back == ("x",)


def test_g6_what_the_app_made_of_a_value_is_ours_too() -> None:
    shown = Contact(fields={"note": ("B",)})
    writes = update(1, ("a",), ("b",)), update(2, ("B",), ("c",))
    (field,) = meant(*writes, answers={("link", "right", Version(1, 1)): shown}).fields
    assert field.back == ("a",)
    (field,) = meant(writes[0], answers={("link", "right", Version(1, 1)): shown}).fields
    assert due(CONFIG, LINK, card("B"), replace(INTENT, fields=(field,))).fields == (field,)


def test_g6_a_tag_that_was_set_and_removed_again_is_as_it_was() -> None:
    assert (
        meant(Tag(aim=aim(1), contact_id="card", tag="x", date=""), Untag(aim=aim(2), contact_id="card", tag="x")).marks
        == ()
    )


@pytest.mark.parametrize(
    ("answer", "kept"), [("refused", 0), ("stale", 0), ("unchanged", 0), (None, 1), ("unknown", 1)]
)
def test_g6_only_what_was_written_is_taken_back(answer: str | None, kept: int) -> None:
    found, left = intents([made(1, answer)], {}, {}, {"shop-office": CONFIG})
    assert (found, len(left)) == ([], kept)


def test_g6_what_the_log_has_lost_stays_and_says_so() -> None:
    found, ((_, left),) = intents([made(1)], {}, {}, {"shop-office": CONFIG})
    assert (found, left.why) == ([], "the log no longer holds what stood there before")


@pytest.mark.parametrize(
    ("config", "link", "record", "why"),
    [
        (CONFIG, LINK, card("else"), "it was changed since"),
        (CONFIG, LINK, card("new", deleted=True), "the contact isn't there any more"),
        (CONFIG, LINK, None, "the contact isn't there any more"),
        (CONFIG, replace(LINK, status="ended"), card("new"), "its pair is over"),
        (CONFIG, LINK.with_half("right", Half(contact_id="x")), card("new"), "its pair has another contact there now"),
        (None, LINK, card("new"), "its connection isn't in force any more"),
        (replace(CONFIG, removed=True), LINK, card("new"), "its connection isn't in force any more"),
        (
            replace(CONFIG, connection=replace(TWO_WAY, direction="right_to_left")),
            LINK,
            card("new"),
            "shop-office doesn't write to office any more",
        ),
    ],
)
def test_g6_what_cannot_go_back_stays_with_its_reason(
    config: Config | None, link: Link, record: Record | None, why: str
) -> None:
    found = due(config, link, record, INTENT)
    assert found.nothing
    assert [left.why for left in found.left] == [why]


def test_g6_what_is_as_it_was_needs_nothing() -> None:
    found = due(CONFIG, LINK, card("old"), INTENT)
    assert (found.nothing, found.left, found.already) == (True, (), 1)


def test_g6_an_app_without_tags_keeps_what_was_created_there_and_says_so() -> None:
    bare = replace(CONFIG, right=replace(BOOK, abilities=frozenset()))
    found = due(bare, LINK, card("new"), replace(INTENT, made=True, fields=()))
    assert [left.why for left in found.left] == [
        "created by contactsync, and Book takes no tags: delete it there if it shall go"
    ]
    assert due(CONFIG, LINK, card("new"), replace(INTENT, made=True, fields=())).trash
