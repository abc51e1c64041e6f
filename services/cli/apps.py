"""`apps`: what each app can be asked for, and what a pair of apps offers (SEMANTICS A7). Made of manifests alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from services.cli.failure import MISUSED, Failure
from services.cli.files import manifests
from services.cli.output import say, table
from services.contracts.app import Ability, CustomFields, Manifest, Pace
from services.contracts.connection import Connection, Deletions
from services.contracts.contact import SIDES, Side
from services.runtime.registry import wording
from services.runtime.registry.pair import INTO, OTHER
from services.runtime.registry.problem import nearest
from services.sync.core.mapping import compile_config

ABILITIES: Mapping[Ability, str] = {
    Ability.DETECT_DELETION: "tells when a contact is deleted",
    Ability.TAG: "takes tags",
    Ability.DETECT_UNSUBSCRIBE: "tells when somebody unsubscribes",
    Ability.WEBHOOK: "sends webhooks",
    Ability.POLL: "is asked for changes",
    Ability.IDEMPOTENCY_KEY: "recognises a write that is sent twice",
    Ability.GUARD: "writes only over the version that was read",
    Ability.FIND_SEES_MORE: "is searched before a contact is made",
    Ability.SUBSCRIPTIONS: "tells of subscriptions",
}


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """A key of an account in the connections file."""

    key: str
    title: str
    secret: bool
    required: bool
    default: str = ""
    example: str = ""


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """A field of the app's contacts."""

    path: str
    canonical: str | None
    type: str
    several: bool
    read_only: bool
    guarded: bool


class About(msgspec.Struct, frozen=True, kw_only=True):
    """One app."""

    app: str
    title: str
    docs: str
    keys: tuple[Key, ...]
    fields: tuple[Field, ...]
    custom_fields: CustomFields | None
    conditions: tuple[str, ...]
    actions: tuple[str, ...]
    abilities: tuple[str, ...]
    pace: Pace


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """A value of an option, and why a pair can't have it."""

    value: str
    offered: bool
    why_not: str = ""


class Mapped(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the default mapping."""

    line: str
    left: str
    flow: str
    right: str


class PairOffer(msgspec.Struct, frozen=True, kw_only=True):
    """What a connection of two apps can have."""

    left: str
    right: str
    sync_deletions: tuple[Offer, ...]
    mapping: tuple[Mapped, ...]
    rules_from_left: About
    rules_from_right: About
    """Conditions are those of the side that a rule is from, actions those of the other."""


def about(manifest: Manifest) -> About:
    """Tell everything that people may want to know of an app."""
    keys = [
        Key(key=each.key, title=each.title, secret=True, required=each.required) for each in manifest.credentials
    ] + [
        Key(
            key=each.key,
            title=each.title,
            secret=False,
            required=each.required,
            default=each.default,
            example=each.example,
        )
        for each in manifest.settings
    ]
    return About(
        app=manifest.name,
        title=manifest.title,
        docs=manifest.docs,
        keys=tuple(keys),
        fields=tuple(
            Field(
                path=each.path,
                canonical=each.canonical,
                type=each.type,
                several=each.multi,
                read_only=not each.writable,
                guarded=each.guarded,
            )
            for each in manifest.fields
        ),
        custom_fields=manifest.custom,
        conditions=tuple(wording.conditions(manifest)),
        actions=tuple(wording.actions(manifest)),
        abilities=tuple(sentence for ability, sentence in ABILITIES.items() if ability in manifest.abilities),
        pace=manifest.pace,
    )


def deletions(apps: Mapping[Side, Manifest]) -> tuple[Offer, ...]:
    """Tell which values of `sync_deletions` a pair offers, and why not the others."""
    lacking: dict[Side, str] = {}
    for side in SIDES:
        if Ability.DETECT_DELETION not in apps[OTHER[side]].abilities:
            lacking[side] = f"{apps[OTHER[side]].title} doesn't report deletions"
        elif Ability.TAG not in apps[side].abilities:
            lacking[side] = f"{apps[side].title} doesn't take tags"
    wanted: dict[Deletions, tuple[Side, ...]] = {
        "none": (),
        INTO["right"]: ("right",),
        INTO["left"]: ("left",),
        "both": ("left", "right"),
    }
    return tuple(
        Offer(
            value=value,
            offered=not any(side in lacking for side in sides),
            why_not="; ".join(lacking[side] for side in sides if side in lacking),
        )
        for value, sides in wanted.items()
    )


def pair(left: Manifest, right: Manifest) -> PairOffer:
    """Tell what a connection of two apps can have."""
    arrows = {"both": "<->", "left": "<-", "right": "->"}
    config = compile_config(
        Connection(name="pair", left="left", right="right"), 1, {"left": left, "right": right}, paused=False
    )
    return PairOffer(
        left=left.name,
        right=right.name,
        sync_deletions=deletions({"left": left, "right": right}),
        mapping=tuple(
            Mapped(line=line.id, left=line.left.path, flow=arrows[line.flow], right=line.right.path)
            for line in config.lines
        ),
        rules_from_left=about(left),
        rules_from_right=about(right),
    )


def apps(names: Sequence[str], *, as_json: bool) -> int:
    """Print all apps, one, or a pair."""
    known = manifests()
    for name in names:
        if name not in known:
            meant = nearest(name, list(known))
            instead = f"Did you mean {meant}?" if meant else f"The apps are {', '.join(known)}."
            raise Failure(f"There is no app {name}. {instead}", MISUSED)
    match list(names):
        case [] if as_json:
            _json([about(manifest) for manifest in known.values()])
        case []:
            table(
                ("app", "", "fields", "takes and tells"),
                [
                    (each.app, each.title, str(len(each.fields)), ", ".join(each.abilities[:3]))
                    for each in map(about, known.values())
                ],
            )
            say("")
            say("`contactsync apps APP` tells about one, `contactsync apps LEFT RIGHT` about a pair.")
        case [name] if as_json:
            _json(about(known[name]))
        case [name]:
            _tell(about(known[name]), known[name])
        case [left, right] if as_json:
            _json(pair(known[left], known[right]))
        case [left, right]:
            _tell_pair(pair(known[left], known[right]))
        case _:
            raise Failure("Name one app, or the two of a pair.", MISUSED)
    return 0


def _json(value: object) -> None:
    say(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def _tell(told: About, manifest: Manifest) -> None:
    say(f"{told.title} (app: {told.app})  {told.docs}")
    say("")
    rows = [
        (
            key.key,
            "secret" if key.secret else "",
            "required" if key.required else f"default {key.default}" if key.default else "optional",
            key.title,
        )
        for key in told.keys
    ]
    table(("key", "", "", "what it is"), rows)
    say("")
    notes = [
        (
            field.path,
            field.canonical or "-",
            field.type,
            ", ".join(
                word
                for word, there in (
                    ("several values", field.several),
                    ("read-only", field.read_only),
                    ("a change waits for a yes", field.guarded),
                )
                if there
            ),
        )
        for field in told.fields
    ]
    table(("field", "in the default mapping", "type", ""), notes)
    if told.custom_fields:
        limit = told.custom_fields.max_length
        upto = f", up to {limit} characters" if limit else ""
        say(f"{told.custom_fields.prefix}KEY: any {told.custom_fields.title}{upto}, by mappings of one's own")
    say("")
    say(f"conditions of rules from it: {', '.join(told.conditions)}")
    say(f"actions of rules into it:    {', '.join(told.actions) or 'none'}")
    say(f"it {', '.join(told.abilities)}")
    if Ability.TAG in manifest.abilities and manifest.tag_word != "tag":
        say(f"its tags are called {manifest.tag_word}")
    pace = told.pace
    say(f"pace per account: {pace.poll:g} polls, {pace.read:g} readings, {pace.write:g} writes a second")


def _tell_pair(told: PairOffer) -> None:
    left, right = told.rules_from_left, told.rules_from_right
    say(f"left: {left.title}, right: {right.title}")
    say("")
    table(
        ("sync_deletions", "offered", ""),
        [(offer.value, "yes" if offer.offered else "no", offer.why_not) for offer in told.sync_deletions],
    )
    say("")
    table(
        ("default mapping", f"left: {left.title}", "", f"right: {right.title}"),
        [(line.line, line.left, line.flow, line.right) for line in told.mapping],
    )
    say("")
    table(
        ("rules", "conditions", "actions"),
        [
            ("from: left", ", ".join(left.conditions), ", ".join(right.actions) or "none"),
            ("from: right", ", ".join(right.conditions), ", ".join(left.actions) or "none"),
        ],
    )
