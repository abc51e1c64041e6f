"""A plan for people: counts first, then each contact with its fields before and after."""

from __future__ import annotations

from collections.abc import Mapping

from services.cli.output import visible
from services.sync.plan.would import WRITES, Kind, Plan, Would

_WORDS: Mapping[Kind, str] = {
    "create": "create",
    "update": "update",
    "tag": "tag",
    "untag": "untag",
    "link": "link",
    "exclude": "exclude",
    "return": "take back in",
    "duplicate": "leave as a duplicate",
    "hold": "hold for approval",
    "refuse": "leave out a value",
}


def summary(
    plan: Plan,
    counts: Mapping[str, Mapping[Kind, int]] | None = None,
    waits: Mapping[str, Mapping[str, int]] | None = None,
    touched: Mapping[str, int] | None = None,
    contacts: Mapping[str, int] | None = None,
) -> list[str]:
    """Return the counts, a line for each connection and account; those given instead of the plan's own."""
    counts = plan.counts() if counts is None else counts
    waits = plan.waits if waits is None else waits
    touched = plan.touched() if touched is None else touched
    contacts = plan.contacts if contacts is None else contacts
    lines = []
    for name in sorted({*counts, *waits}):
        told = [f"{_WORDS[kind]} {count}" for kind, count in counts.get(name, {}).items()]
        told += [f"wait ({reason}) {count}" for reason, count in sorted(waits.get(name, {}).items())]
        lines.append(f"{name}: {', '.join(told)}")
    lines += [
        f"  {touched[account]} of {contacts.get(account, 0)} contacts in {account} would be overwritten or tagged"
        for account in sorted(touched)
    ]
    lines += [
        f"{name} would be removed: its {count} links are left as they are, nothing is synced any more."
        for name, count in sorted(plan.ends.items())
    ]
    lines += [f"{name} is paused: nothing is written before `contactsync resume {name}`." for name in plan.paused]
    lines += [
        f"{account} hasn't been read yet: what comes of its contacts can't be told. `--fresh` reads it."
        for account in plan.unread
    ]
    if not counts and not plan.ends:
        lines.append(f"Nothing would be written ({plan.considered} links and contacts were decided about).")
    return lines


def entry(would: Would) -> list[str]:
    """Return what a plan says of one contact."""
    contact = f"{would.account}/{would.contact}" if would.contact is not None else f"in {would.account}"
    who = f" ({would.who})" if would.who else ""
    head = f"{_WORDS[would.kind]} {contact}{who} [{would.connection}]"
    if would.kind == "link":
        head += f" with {would.of}"
    elif would.kind in WRITES and would.of:
        head += f" for {would.of}"
    if would.tag is not None:
        head += f": {would.tag}"
    if would.reason:
        head += f": {would.reason}"
    return [
        visible(head),
        *(visible(f"    {change.field}: {value(change.before)} -> {value(change.after)}") for change in would.changes),
    ]


def value(values: tuple[str, ...]) -> str:
    """Return a field's values as people read them."""
    return "; ".join(f'"{value}"' for value in values) or "(empty)"
