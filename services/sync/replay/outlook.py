"""What a preview says: where other rules would have led, contact by contact, against what happened."""

from collections.abc import Iterator
from typing import Literal, TypeAlias

import msgspec

from services.contracts.contact import SIDES, Contact
from services.sync.core.slice import ContactKey
from services.sync.core.state import Link
from services.sync.core.why import values_told
from services.sync.explain.report import Change
from services.sync.plan.make import who_of
from services.sync.replay.preview import Preview

Kind: TypeAlias = Literal["create", "not_created", "update", "tag", "untag", "link", "unlink", "exclude", "include"]
KINDS: tuple[Kind, ...] = ("create", "not_created", "update", "tag", "untag", "link", "unlink", "exclude", "include")


class Outlook(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that would be otherwise."""

    kind: Kind
    account: str
    contact: str | None = None
    """Its id in its app; None for one that was never made."""
    connection: str = ""
    who: str = ""
    changes: tuple[Change, ...] = ()
    """Fields as they are, and as they would be."""
    tags: tuple[str, ...] = ()
    reason: str = ""


def outlooks(preview: Preview) -> Iterator[Outlook]:
    """Yield everything that would be otherwise, accounts and contacts in their order, then links."""
    made = preview.made_as()
    seen: set[ContactKey] = set()
    for key in preview.trial.contacts():
        real = made.get(key, key)
        seen.add(real)
        would, was = preview.trial.record(*key), preview.witness.record(*real)
        if would is None or would.contact is None or would.deleted:
            continue
        if was is None or was.contact is None:
            fields = would.contact.fields
            changes = tuple(Change(field=path, before=(), after=values_told(fields[path])) for path in sorted(fields))
            yield Outlook(kind="create", account=key[0], who=who_of(would.contact), changes=changes)
        else:
            yield from _compared(real, was.contact, would.contact)
    for key in preview.made:
        was = preview.witness.record(*key)
        if key not in seen and was is not None and was.live:
            yield Outlook(kind="not_created", account=key[0], contact=key[1], who=who_of(was.contact))
    yield from _links(preview, made)


def _compared(key: ContactKey, was: Contact, would: Contact) -> Iterator[Outlook]:
    changes = tuple(
        Change(field=path, before=values_told(was.fields.get(path, ())), after=values_told(would.fields.get(path, ())))
        for path in sorted({*was.fields, *would.fields})
        if values_told(was.fields.get(path, ())) != values_told(would.fields.get(path, ()))
    )
    if changes:
        yield Outlook(kind="update", account=key[0], contact=key[1], who=who_of(would), changes=changes)
    if added := tuple(sorted({*would.tags} - {*was.tags})):
        yield Outlook(kind="tag", account=key[0], contact=key[1], who=who_of(would), tags=added)
    if removed := tuple(sorted({*was.tags} - {*would.tags})):
        yield Outlook(kind="untag", account=key[0], contact=key[1], who=who_of(would), tags=removed)


def _links(preview: Preview, made: dict[ContactKey, ContactKey]) -> Iterator[Outlook]:
    for link in preview.trial.links():
        was = preview.witness.link(link.id)
        reason = "" if (decision := preview.course.last.get(link.id)) is None else decision.reason
        if link.status == "outside" and (was is None or was.status != "outside"):
            yield _of(preview, made, link, "exclude", reason)
        elif was is not None and was.status == "outside" and link.status in ("active", "pairing"):
            yield _of(preview, made, link, "include", "")
        paired = link.paired and link.status == "active"
        if paired and (was is None or not was.paired):
            yield _of(preview, made, link, "link", "")
        elif was is not None and was.paired and was.status == "active" and not paired:
            yield _of(preview, made, link, "unlink", reason)


def _of(preview: Preview, made: dict[ContactKey, ContactKey], link: Link, kind: Kind, reason: str) -> Outlook:
    config = preview.course.configs.connections[link.connection]
    side = next(side for side in SIDES if link.half(side).contact_id is not None)
    key = (config.account(side), link.half(side).contact_id or "")
    record = preview.trial.record(*key)
    real = made.get(key, key)
    return Outlook(
        kind=kind,
        account=real[0],
        contact=None if real[1].startswith("new:") else real[1],
        connection=link.connection,
        who=who_of(None if record is None else record.contact),
        reason=reason,
    )
