"""What `check` reads of `mappings`, and what it says of lines that can't be, or can't be meant (D1-D3, D6)."""

# ruff: noqa: E501 - a table has a row per case

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Mapping
from typing import get_args

import msgspec
import pytest
from msgspec.structs import replace

from services.contracts.app import FieldType, Manifest
from services.contracts.connection import MappingLine
from services.contracts.contact import Contact, Fields, Order
from services.runtime.registry.accounts import Accounts
from services.runtime.registry.check import check
from services.runtime.registry.converts import converts
from services.runtime.registry.document import Table, parse
from services.runtime.registry.form import Form
from services.runtime.registry.lines import Lines
from services.runtime.registry.pair import Pair
from services.runtime.registry.problem import Mark, Report
from services.runtime.store import Store
from services.sync.core.mapping import convertible
from services.sync.core.state import Record
from services.sync.keys import seen_keys
from tests.rules_text import ACCOUNTS, ENVIRON, MANIFESTS

S, G, C, Q = "stripe", "google_contacts", "carddav", "quickbooks"
NO_NOTE = "- {default: note, enabled: false}\n"
PRODUCT = "- {left: metadata.product, right: custom.product}\n"
FIRST = 9
"""The line on which the first mapping stands, where there are no further keys."""


def file(lines: str, left: str = S, right: str = G, keys: str = "") -> str:
    """A file with these mappings between `one` and `two`; `keys`: further lines of the connection."""
    head = f"accounts:\n  one: {ACCOUNTS[left]}\n  two: {ACCOUNTS[right]}\n"
    pair = f"connections:\n  pair:\n    left: one\n    right: two\n{textwrap.indent(keys, '    ')}    mappings:\n"
    return f"{head}{pair}{textwrap.indent(lines.rstrip(), '      ')}\n"


def told(text: str, manifests: Mapping[str, Manifest] = MANIFESTS) -> list[str]:
    return [
        f"{each.line}:{each.column} {each.severity} {each.message} → {each.remedy}"
        for each in check(text, manifests, ENVIRON).problems
        if each.severity != "hint"
    ]


def only(text: str, manifests: Mapping[str, Manifest] = MANIFESTS) -> str:
    (found,) = told(text, manifests)
    return found


def read(text: str) -> tuple[MappingLine, ...]:
    config = check(text, MANIFESTS, ENVIRON).config
    assert config, told(text)
    return config.connections[0].mappings


def test_d2_lines_are_read_in_the_files_order_with_what_they_say() -> None:
    text = file(
        NO_NOTE
        + PRODUCT
        + "- {left: description, right: custom.About us, direction: left_to_right}\n"
        + "- {left: metadata.Remark, right: note, enabled: false}\n"
        + "- {default: phone}\n"
    )
    assert told(text) == []
    assert read(text) == (
        MappingLine(default="note", enabled=False),
        MappingLine(left="metadata.product", right="custom.product"),
        MappingLine(left="description", right="custom.About us", direction="left_to_right"),
        MappingLine(left="metadata.Remark", right="note", enabled=False),
        MappingLine(default="phone"),
    )


@pytest.mark.parametrize(
    ("line", "left", "right", "message", "remedy"),
    [
        # shape
        ("- {left: metadata.a}", S, G, "a mapping of connection `pair` has no right", "Add `right: FIELD`."),
        ("- {enabled: false}", S, G, "a mapping of connection `pair` says no fields", "Write `{default: phone, enabled: false}` or `{left: FIELD, right: FIELD}`."),
        ("- {default: phone, direction: two_way}", S, G, "has `default` and `direction`: it is either a default line or one of your own", "Make two lines of it: "),
        ("- {left: metadata.a, right: custom.a, way: both}", S, G, "a mapping of connection `pair` has no key `way`", "Write `default`, `left`, `right`, `direction` or `enabled`."),
        ("- {left: metadata.a, right: custom.a, direction: both}", S, G, "`direction` in a mapping of connection `pair` can't be `both`", "Write `two_way`, `left_to_right` or `right_to_left`."),
        ("- {left: metadata.a, right: custom.a, enabled: maybe}", S, G, "is true or false, not `maybe`", "Write `true` or `false`."),
        ("- {left: [a], right: custom.a}", S, G, "`left` of a mapping of connection `pair` has to be one value, and is a list", "Write a field's path"),
        ("- {default: fone, enabled: false}", S, G, "there is no field `fone` in the default mapping of connection `pair`", "Did you mean `phone`?"),
        # fields
        ("- {left: emial, right: custom.a}", S, G, "Stripe (`one`) has no field `emial`", "Did you mean `email`?"),
        ("- {left: metadata.a, right: notes}", S, G, "Google Contacts (`two`) has no field `notes`", "Did you mean `note`?"),
        ("- {left: Metadata.A, right: custom.a}", S, G, "Stripe (`one`) has no field `Metadata.A`", "Write `metadata.A`."),
        ("- {left: metadata, right: custom.a}", S, G, "Stripe (`one`) has no field `metadata`", "Write `metadata.KEY`."),
        ("- {left: metadata., right: custom.a}", S, G, "the key is missing", "Write `metadata.KEY`."),
        ("- {left: 'metadata.a[0]', right: custom.a}", S, G, "a metadata key has no `[` or `]`", "Write the key as it is in the app."),
        ("- {left: metadata." + "k" * 41 + ", right: custom.a}", S, G, "a metadata key has at most 40 characters", "Write the key as it is in the app."),
        ("- {left: metadata.PieSync Trash, right: custom.a}", S, G, "Stripe (`one`) can't map `metadata.PieSync Trash`: that key is contactsync's", "Write another metadata key, as `metadata.KEY`."),
        ("- {left: metadata.contactsync_link, right: custom.a}", S, G, "that key is contactsync's", "Write another metadata key"),
        ("- {left: metadata.city, right: addresses.city}", S, G, "`addresses.city` of Google Contacts (`two`) is a part of a field: fields are mapped whole", "Write `addresses`."),
        ("- {left: metadata.a, right: custom.a}", S, C, "CardDAV (`two`) has no field `custom.a`", "Write `name`, "),
        # types
        ("- {left: metadata.mail, right: emailAddresses}\n- {default: email, enabled: false}", S, G, "this line goes one way only, `right_to_left`: `metadata.mail` of Stripe (`one`) is a text, which can't become an e-mail address", "Write `direction: right_to_left` if that is what you want."),
        ("- {left: metadata.mail, right: emailAddresses, direction: left_to_right}\n- {default: email, enabled: false}", S, G, "this line can't be: `metadata.mail` of Stripe (`one`) is a text, which can't become an e-mail address, as `emailAddresses` of Google Contacts (`two`) is", "Write `direction: right_to_left`."),
        ("- {left: metadata.home, right: addresses}\n- {default: address, enabled: false}", S, G, "this line can't be: ", "Map fields of one kind, or remove the line."),
        # lines in each other's way
        (PRODUCT + PRODUCT, S, G, "connection `pair` already maps `metadata.product` and `custom.product`, on line 9", "Keep one of them; a line without `direction` goes both ways."),
        (PRODUCT + "- {left: metadata.other, right: custom.product}", S, G, "two lines write `custom.product` of Google Contacts (`two`); the first is on line 9", "Keep one of them, or give one a `direction` away from there."),
        ("- {left: metadata.a, right: custom.a, direction: left_to_right}\n- {left: metadata.a, right: custom.a, direction: right_to_left}", S, G, "already maps `metadata.a` and `custom.a`", "Keep one of them"),
        ("- {left: metadata.remark, right: note}", S, G, "`note` of Google Contacts (`two`) is mapped already, by the default line `note`", "Add `- {default: note, enabled: false}` to `mappings`."),
        ("- {left: description, right: custom.a, direction: left_to_right}", S, G, "`description` of Stripe (`one`) is mapped already, by the default line `note`", "Add `- {default: note, enabled: false}` to `mappings`."),
        ("- {left: name, right: note}", S, G, "`name` of Stripe (`one`) and `note` of Google Contacts (`two`) are mapped already, by the default lines `name` and `note`", "Add `- {default: name, enabled: false}` and `- {default: note, enabled: false}` to `mappings`."),
        ("- {left: description, right: note}", S, G, "are mapped already, by the default line `note`", "or remove this line: the default one does the same."),
        ("- {left: metadata.remark, right: note}\n- {default: note}", S, G, "is mapped already, by the default line `note`", "Add `- {default: note, enabled: false}`"),
    ],
)  # fmt: skip
def test_d6_what_cannot_be_is_told_with_what_to_write(
    line: str, left: str, right: str, message: str, remedy: str
) -> None:
    found = only(file(line, left, right))
    said, _, instead = found.partition(" → ")
    assert message in said
    assert instead.startswith(remedy) or remedy in instead
    assert int(found.partition(":")[0]) >= FIRST


@pytest.mark.parametrize(
    "lines",
    [
        # each field of a pair is written by one line; read it may be by any
        "- {left: metadata.a, right: custom.a}\n- {left: metadata.a, right: custom.b, direction: left_to_right}",
        "- {left: metadata.a, right: custom.a, direction: left_to_right}\n- {left: metadata.b, right: custom.a, direction: right_to_left}",
        PRODUCT + "- {left: metadata.other, right: custom.product, enabled: false}",
        "- {left: metadata.remark, right: note, enabled: false}",
        NO_NOTE + "- {left: description, right: custom.a}\n- {left: metadata.a, right: note}",
        "- {left: metadata.job, right: job_title}",
        "- {left: metadata.mail, right: emailAddresses, direction: right_to_left}\n- {default: email, enabled: false}",
        "- {default: name, enabled: false}\n- {left: name, right: custom.Name}",
        "- {left: 'metadata.Größe (m²)', right: 'custom.Größe: m²'}",
    ],
)  # fmt: skip
def test_d1_d2_these_lines_go_together(lines: str) -> None:
    assert told(file(lines)) == []


@pytest.mark.parametrize(
    ("goes", "line", "problem"),
    [
        ("left_to_right", "right_to_left", "this line would go `right_to_left`: a line can be narrowed, not widened → Remove the line's `direction`."),
        ("right_to_left", "two_way", "connection `pair` goes `right_to_left`, and this line would go `two_way`"),
        ("right_to_left", "right_to_left", None),
        ("two_way", "left_to_right", None),
    ],
)  # fmt: skip
def test_d2_a_line_can_be_narrowed_but_not_widened(goes: str, line: str, problem: str | None) -> None:
    text = file(f"- {{left: metadata.a, right: custom.a, direction: {line}}}", keys=f"direction: {goes}\n")
    found = told(text)
    assert len(found) == (problem is not None)
    assert all(str(problem) in each for each in found)


def test_d2_a_direction_that_is_none_is_told_once() -> None:
    text = file("- {left: metadata.a, right: custom.a, direction: left_to_right}", keys="direction: sideways\n")
    assert "`direction` of connection `pair` can't be `sideways`" in only(text)


def locked(path: str) -> Mapping[str, Manifest]:
    """The apps, as if that field of Google Contacts could only be read."""
    app = MANIFESTS[G]
    fields = tuple(replace(each, writable=each.path != path) for each in app.fields)
    return {**MANIFESTS, G: replace(app, fields=fields)}


@pytest.mark.parametrize(
    ("direction", "severity", "message"),
    [
        ("", "warning", "this line goes one way only, `right_to_left`: `job_title` of Google Contacts (`two`) can only be read → Write `direction: right_to_left` if that is what you want."),
        (", direction: two_way", "warning", "this line goes one way only"),
        (", direction: left_to_right", "error", "this line can't be: `job_title` of Google Contacts (`two`) can only be read → Write `direction: right_to_left`."),
    ],
)  # fmt: skip
def test_d6_a_field_that_can_only_be_read_is_one_way(direction: str, severity: str, message: str) -> None:
    found = only(file(f"- {{left: metadata.job, right: job_title{direction}}}"), locked("job_title"))
    assert f" {severity} " in found
    assert message in found
    assert told(file("- {left: metadata.job, right: job_title, direction: right_to_left}"), locked("job_title")) == []


def test_d6_the_check_knows_the_conversions_that_the_core_makes() -> None:
    types: tuple[FieldType, ...] = get_args(FieldType)
    assert all(converts(*pair) == convertible(*pair) for pair in itertools.product(types, types))


@pytest.mark.parametrize(
    ("lines", "doubted"),
    [
        (NO_NOTE + "- {left: description, right: custom.a}", True),
        (NO_NOTE + "- {left: description, right: custom.a, direction: left_to_right}", False),
        (NO_NOTE + "- {left: metadata.a, right: note}", False),
    ],
)
def test_b8_a_rules_text_into_a_field_that_a_line_of_ones_own_writes_is_doubted(lines: str, doubted: bool) -> None:
    text = file(lines) + "    rules:\n      - {from: right, then: [{update_description: a}]}\n"
    found = told(text)
    assert len(found) == doubted
    assert all("the mapping writes `description` of Stripe (`one`), too" in each for each in found)


def lines_of(text: str, seen: Mapping[str, frozenset[str]]) -> list[str]:
    """What reading the mappings alone says, with the keys that contacts have."""
    report = Report()
    top = parse(text, ENVIRON, report)
    assert isinstance(top, Table)
    form = Form(report)
    accounts, connections = top.get("accounts"), top.get("connections")
    assert accounts
    assert connections
    made = Accounts(form, MANIFESTS).read(accounts.value)
    assert isinstance(connections.value, Table)
    table = connections.value.entries[0].value
    assert isinstance(table, Table)
    apps = {side: manifest for side, name in (("left", "one"), ("right", "two")) if (manifest := made[name].manifest)}
    pair = Pair("pair", "connection `pair`", Mark(1, 1), apps, {"left": "one", "right": "two"})  # type: ignore[arg-type]
    Lines(form, seen).mappings(table, pair)
    assert not report.failed
    return [f"{each.line}:{each.column} {each.severity} {each.message} → {each.remedy}" for each in report.problems()]


KEYS = frozenset({"Product", "plan", "plan_name", "seats"})


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("Product", []),
        ("product", ["9:16 warning no contact of Stripe (`one`) has the metadata key `product` so far → Did you mean `metadata.Product`? Keys are spelt exactly, capitals included."]),
        ("plan name", ["9:16 warning no contact of Stripe (`one`) has the metadata key `plan name` so far → Did you mean `metadata.plan_name` or `metadata.plan`? Keys are spelt exactly, capitals included."]),
        ("tier", ["9:16 warning no contact of Stripe (`one`) has the metadata key `tier` so far → Nothing to do if it is new."]),
    ],
)  # fmt: skip
def test_d3_a_key_that_was_never_seen_is_doubted_with_the_nearest(key: str, said: list[str]) -> None:
    text = file(f"- {{left: 'metadata.{key}', right: custom.x, direction: left_to_right}}")
    assert lines_of(text, {"one": KEYS}) == said


def test_d3_a_key_that_is_only_written_may_be_new_unless_it_resembles_one() -> None:
    text = file("- {left: metadata.x, right: custom.tier, direction: left_to_right}")
    assert lines_of(text, {"two": frozenset({"Product"})}) == []
    (found,) = lines_of(text, {"two": frozenset({"Tier"})})
    assert "Did you mean `custom.Tier`?" in found


def test_d3_nothing_is_doubted_where_no_keys_are_known_or_the_line_is_off() -> None:
    assert lines_of(file(PRODUCT), {}) == []
    assert lines_of(file("- {left: metadata.nope, right: custom.x, enabled: false}"), {"one": KEYS}) == []


def test_the_value_of_a_variable_is_never_told() -> None:
    line = '- {left: "metadata.${PLAN}", right: custom.a, direction: left_to_right}\n'
    found = [*told(file(line + line)), *lines_of(file(line), {"one": KEYS})]
    found += told(file('- {left: "metadata.${PLAN}", right: addresses}\n- {default: address, enabled: false}'))
    assert len(found) >= 3
    assert all("${PLAN}" in each and "canary" not in each for each in found)


async def contact(store: Store, name: str, fields: Fields, *, deleted: bool = False) -> None:
    """A contact as sync stores it."""
    record = Record(account="shop", contact_id=name, contact=Contact(fields=fields), order=Order(start=1, end=1))
    await store.execute(
        "INSERT INTO sync.contact (account, contact_id, deleted, order_end, looking, state, object, updated_at) "
        "VALUES ('shop', $1, $2, 1, false, $3, '{}', now())",
        name,
        deleted,
        msgspec.json.encode(record).decode(),
    )


async def test_d3_the_keys_that_live_contacts_have_are_known_once_their_account_was_scanned(store: Store) -> None:
    await contact(store, "cus_1", {"name": ("Ada",), "metadata.Product": ("x",), 'metadata.a "b" \\': ("y",)})
    await contact(store, "cus_2", {"note": ('"metadata.fake":',), "metadata.plan": ("x",), "metadata.Product": ("z",)})
    await contact(store, "cus_3", {"metadata.gone": ("x",)}, deleted=True)
    await contact(store, "cus_4", {"metadata.odd": ("\0",), "metadata.\0": ("x",)})
    async with store.transaction(readonly=True) as database:
        assert await seen_keys(database, "shop", "metadata.") is None
    await store.execute("INSERT INTO sync.account (account, scanned_at) VALUES ('shop', NULL), ('office', now())")
    async with store.transaction(readonly=True) as database:
        assert await seen_keys(database, "shop", "metadata.") is None
    await store.execute("UPDATE sync.account SET scanned_at = now()")
    async with store.transaction(readonly=True) as database:
        assert await seen_keys(database, "shop", "metadata.") == frozenset({"Product", 'a "b" \\', "plan"})
        assert await seen_keys(database, "office", "custom.") == frozenset()


def test_a_field_without_canonical_name_needs_no_default_line_off() -> None:
    assert told(file("- {left: metadata.fax, right: Fax}", S, Q)) == []
