"""What is to go back on one contact, and what of it may: only what still is as we wrote it. Pure."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from services.contracts.app import TRASH, Ability, FieldType
from services.contracts.commands import Create, Tag, Untag, Update, Write
from services.contracts.contact import Contact, Fields, Side, Values
from services.sync.core.mapping import Config, normal
from services.sync.core.state import Link, Record
from services.sync.revert.chosen import Key, Made


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """A field that we wrote."""

    path: str
    ours: tuple[Values, ...]
    """What we wrote last, and what the app made of it where its answer showed that."""
    back: Values
    """What stood there before."""
    action: str | None = None
    """Key of the rule's action that wrote it."""


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """A tag that we set or removed."""

    tag: str
    present: bool
    """Whether it stands after what we did."""
    action: str | None = None
    """Key of the rule's action; None: it shows a deletion on the other side."""


class Intent(msgspec.Struct, frozen=True, kw_only=True):
    """What was done to one contact and is to be taken back."""

    link: str
    connection: str
    side: Side
    contact: str
    made: bool = False
    """We created it."""
    fields: tuple[Field, ...] = ()
    marks: tuple[Mark, ...] = ()


class Left(msgspec.Struct, frozen=True, kw_only=True):
    """Something that stays, and why."""

    what: str
    """A field's path, a tag, or `contact`."""
    why: str
    passing: bool = False
    """A moment's patience helps."""


class Due(msgspec.Struct, frozen=True, kw_only=True):
    """What of an intent is to be done now."""

    trash: bool = False
    """The contact gets the trash tag."""
    fields: tuple[Field, ...] = ()
    marks: tuple[Mark, ...] = ()
    left: tuple[Left, ...] = ()
    already: int = 0
    """What is as it was before already."""
    now: Fields = msgspec.field(default_factory=dict)
    """What the fields hold."""

    @property
    def nothing(self) -> bool:
        """Whether nothing is to be done."""
        return not (self.trash or self.fields or self.marks)


def intents(
    writes: Iterable[Made], commands: Mapping[Key, Write], answers: Mapping[Key, Contact], configs: Mapping[str, Config]
) -> tuple[list[Intent], list[tuple[Made, Left]]]:
    """Return what is to be taken back, contact by contact, and the writes that can't be.

    `writes` in the order of their decisions. A later write that found what an earlier one left leads back to what
    stood before that one.
    """
    groups: dict[tuple[str, Side, str], list[Made]] = {}
    left: list[tuple[Made, Left]] = []
    for write in writes:
        if write.answer in ("refused", "deferred", "stale", "unchanged"):
            continue  # nothing was written
        command = commands.get(write.key)
        if write.answer is None or write.answer == "unknown":
            why = "whether it was written isn't known yet"
            left.append((write, Left(what=write.kind, why=why, passing=write.answer is None)))
        elif write.kind == "create" and write.contact is not None:
            groups.setdefault((write.link, write.side, write.contact), []).append(write)
        elif command is None or isinstance(command, Create):
            why = "the log no longer holds what stood there before"
            left.append((write, Left(what=", ".join(write.lines) or write.kind, why=why)))
        else:
            groups.setdefault((write.link, write.side, command.contact_id), []).append(write)
    found = []
    for (link, side, contact), group in groups.items():
        config = configs.get(group[0].connection)
        created = any(each.kind == "create" for each in group)
        intent = Intent(link=link, connection=group[0].connection, side=side, contact=contact, made=created)
        if not created:
            done = [(each, commands[each.key]) for each in group]
            fields, marks = _fields(config, side, done, answers), _marks(done)
            intent = msgspec.structs.replace(intent, fields=fields, marks=marks)
        found.append(intent)
    return found, left


def _fields(
    config: Config | None, side: Side, done: Sequence[tuple[Made, Write]], answers: Mapping[Key, Contact]
) -> tuple[Field, ...]:
    found: dict[str, Field] = {}
    for write, command in done:
        for path, values in command.fields.items() if isinstance(command, Update) else ():
            shown = answers.get(write.key)
            ours = (values, *([] if shown is None else [shown.fields.get(path, ())]))
            back = command.expected.get(path, ()) if isinstance(command, Update) else ()
            before = found.get(path)
            if before is not None and any(same(config, side, path, back, each) for each in before.ours):
                back = before.back
            found[path] = Field(path=path, ours=ours, back=back, action=write.action)
    return tuple(found.values())


def _marks(done: Sequence[tuple[Made, Write]]) -> tuple[Mark, ...]:
    found: dict[str, list[Mark]] = {}
    for write, command in done:
        if isinstance(command, Tag | Untag):
            mark = Mark(tag=command.tag, present=isinstance(command, Tag), action=write.action)
            found.setdefault(command.tag, []).append(mark)
    # Set and removed again (or the other way round): it is as it was.
    return tuple(marks[-1] for marks in found.values() if marks[0].present == marks[-1].present)


def due(config: Config | None, link: Link, record: Record | None, intent: Intent) -> Due:
    """Return what of the intent is to be done now, and what stays and why."""
    why = _barred(config, link, intent)
    if config is None or why is not None:
        return _all(intent, why or "its connection isn't in force any more")
    if record is None or record.deleted:
        return _all(intent, "the contact isn't there any more")
    contact = record.contact
    if record.looking is not None or contact is None:
        return _all(intent, "the contact is being read", passing=True)
    if link.unsettled:
        return _all(intent, "a write to this pair is under way", passing=True)
    if intent.made:
        if TRASH in contact.tags:
            return Due(already=1)
        manifest = config.manifest(intent.side)
        if Ability.TAG in manifest.abilities:
            return Due(trash=True)
        why = f"created by contactsync, and {manifest.title} takes no tags: delete it there if it shall go"
        return Due(left=(Left(what="contact", why=why),))
    return _merged(_due_fields(config, contact, intent), _due_marks(contact, intent))


def _barred(config: Config | None, link: Link, intent: Intent) -> str | None:
    if config is None or config.removed:
        return "its connection isn't in force any more"
    if config.paused:
        return f"{intent.connection} is paused: `contactsync resume {intent.connection}` first"
    if link.status == "ended":
        return "its pair is over"
    if link.half(intent.side).contact_id != intent.contact:
        return "its pair has another contact there now"
    if not config.connection.writes(intent.side):
        return f"{intent.connection} doesn't write to {config.account(intent.side)} any more"
    if link.direction != config.connection.direction:
        return "the new direction of its connection waits until a write under way is settled"
    return None


def _all(intent: Intent, why: str, *, passing: bool = False) -> Due:
    whats = ["contact"] if intent.made else []
    whats += [field.path for field in intent.fields] + [mark.tag for mark in intent.marks]
    return Due(left=tuple(Left(what=what, why=why, passing=passing) for what in whats))


def _due_fields(config: Config, contact: Contact, intent: Intent) -> Due:
    fields, left, now, already = [], [], {}, 0
    for field in intent.fields:
        present = contact.fields.get(field.path, ())
        declared = config.manifest(intent.side).field(field.path)
        if same(config, intent.side, field.path, present, field.back):
            already += 1
        elif not any(same(config, intent.side, field.path, present, ours) for ours in field.ours):
            left.append(Left(what=field.path, why="it was changed since"))
        elif declared is None or not declared.writable:
            left.append(Left(what=field.path, why="the app takes no value there any more"))
        elif declared.required and not field.back:
            left.append(Left(what=field.path, why="it was empty before, and the app requires a value"))
        else:
            fields.append(field)
            now[field.path] = present
    return Due(fields=tuple(fields), left=tuple(left), already=already, now=now)


def _due_marks(contact: Contact, intent: Intent) -> Due:
    # A tag that somebody removed or set meanwhile is as it was before.
    standing = tuple(mark for mark in intent.marks if (mark.tag in contact.tags) == mark.present)
    return Due(marks=standing, already=len(intent.marks) - len(standing))


def _merged(fields: Due, marks: Due) -> Due:
    return msgspec.structs.replace(fields, marks=marks.marks, already=fields.already + marks.already)


def same(config: Config | None, side: Side, path: str, one: Values, another: Values) -> bool:
    """Whether a field's values are the same to contactsync; the order of many doesn't count."""
    declared = None if config is None else config.manifest(side).field(path)
    type_: FieldType = "text" if declared is None else declared.type
    texts = [sorted({text for value in values if (text := normal(value, type_))}) for values in (one, another)]
    return texts[0] == texts[1]
