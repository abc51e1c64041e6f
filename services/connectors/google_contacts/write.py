"""Contacts written: created with our mark, updated under their etag with the mark of the write, labelled."""

from typing import Any

import msgspec

from services.connectors.google_contacts import body, lookup
from services.connectors.google_contacts import person as read
from services.connectors.google_contacts.client import Answer, Client, Failure
from services.connectors.google_contacts.error import STALE, before_write
from services.connectors.google_contacts.label import Labels
from services.connectors.google_contacts.lookup import Recent
from services.connectors.google_contacts.person import READ, Json, Person, person, remembered
from services.contracts.app import Gone, Trouble
from services.contracts.commands import Create, Tag, Untag, Update, Write
from services.contracts.contact import Address, Fields, Order, PersonName, Value
from services.contracts.receipts import Observation, Refused, Stale, Unchanged, Written
from services.runtime.app import Attempt

GONE = Refused(reason="The contact isn't in Google Contacts any more.", code="gone", gone=True)


class _Modified(msgspec.Struct, frozen=True, rename="camel"):
    not_found_resource_names: tuple[str, ...] = ()
    can_not_remove_last_contact_group_resource_names: tuple[str, ...] = ()


class Writer:
    """Writes for one account; `labels` and `recent` are what this process knows of it."""

    def __init__(self, client: Client, labels: Labels, recent: Recent) -> None:
        self._client = client
        self._labels = labels
        self._recent = recent

    async def write(self, command: Write, attempt: Attempt) -> Written | Unchanged | Refused | Stale | Trouble:
        """Send one write once; a lost guard costs one reading and a second try (P14)."""
        match command:
            case Create() | Update() if refused := body.unwritable(command.fields):
                return refused
            case Create():
                return await self._create(command, attempt)
            case Update():
                return await self._update(command)
            case Tag() | Untag():
                return await self._label(command)

    async def observed(self, each: Person, order: Order) -> Observation | None:
        """Return the person as an observation; None if its labels' names can't be read now."""
        names = await self._labels.naming(self._client, each.groups)
        return None if isinstance(names, Trouble) else each.observation(names, order)

    async def _create(self, command: Create, attempt: Attempt) -> Written | Trouble:
        if attempt.n:
            # No idempotency key: what was sent before is looked for by its mark, whatever is known of it.
            ours = await lookup.by_mark(self._client, command.aim.link, attempt.first)
            if isinstance(ours, Trouble):
                return before_write(ours)
            if ours is not None:
                return Written(contact_id=ours[0].name, seen=await self.observed(*ours), looked=True)
        given = body.new(command.fields, command.aim.link)
        answer = await self._client.ask("POST", "people:createContact", READ, given)
        if not isinstance(answer, Answer):
            return answer.trouble() if isinstance(answer, Failure) else answer
        return await self._written(answer)

    async def _update(self, command: Update) -> Written | Unchanged | Refused | Stale | Trouble:
        known = remembered(command.object)
        lists = body.changed(known.raw, command.fields) if known is not None else {}
        if known is None or not lists or command.guard is None or known.name != command.contact_id:
            # Nothing to write into, under or for, as far as the observation goes: so the contact decides.
            return await self._update_fresh(command, None)
        answer = await self._patch(known, command.guard, lists, command)
        if isinstance(answer, Failure) and answer.problem.key == STALE:
            return await self._update_fresh(command, command.guard)
        return await self._updated(answer)

    async def _update_fresh(
        self, command: Update, refused: str | None
    ) -> Written | Unchanged | Refused | Stale | Trouble:
        """Read the contact and write once under what was read, if it still is what the decision saw (P14).

        `refused` is the guard that Google didn't take.
        """
        found = await lookup.look(self._client, command.contact_id)
        if isinstance(found, Gone):
            return GONE
        if isinstance(found, Trouble):
            return before_write(found)
        each, order = found
        seen = await self.observed(each, order)
        if body.is_marked(each.raw, command.aim):
            return Written(contact_id=each.name, seen=seen, looked=True)
        if each.guard is None or (refused is not None and each.guard == refused):
            return Trouble(key="behind", detail="Google shows the contact as it was before: its reading lags behind.")
        lists = body.changed(each.raw, command.fields)
        expected = {path: command.expected.get(path, ()) for path in command.fields}
        if not holds(each.raw, expected):
            return Stale(seen=seen) if seen is not None else self._unlabelled()
        if not lists:
            return Unchanged(contact_id=each.name, seen=seen)
        answer = await self._patch(each, each.guard, lists, command)
        if isinstance(answer, Failure) and answer.problem.key == STALE:
            return Stale(seen=seen) if seen is not None else self._unlabelled()
        return await self._updated(answer)

    async def _patch(self, each: Person, guard: str, lists: Json, command: Update) -> Answer | Failure | Trouble:
        lists = {**lists, "clientData": body.marked(each.raw, command.aim)}
        source = {"type": "CONTACT", "id": each.source.get("id", ""), "etag": guard}
        given: dict[str, Any] = {"resourceName": each.name, "metadata": {"sources": [source]}, **lists}
        params = {**READ, "updatePersonFields": ",".join(sorted(lists))}
        return await self._client.ask("PATCH", f"{each.name}:updateContact", params, given)

    async def _updated(self, answer: Answer | Failure | Trouble) -> Written | Refused | Trouble:
        match answer:
            case Answer():
                return await self._written(answer)
            case Failure() if answer.problem.key == 404:
                return GONE
            case Failure():
                return answer.trouble()
            case Trouble():
                return answer

    async def _written(self, answer: Answer) -> Written | Trouble:
        raw = answer.decoded(Json)
        if isinstance(raw, Trouble):
            return raw
        each = person(raw)
        if each is None:
            return Trouble(key="unanswered", detail="Google's answer to the write isn't a contact: it is looked for.")
        self._recent.wrote(self._client, each.name)
        return Written(contact_id=each.name, seen=await self.observed(each, answer.order), ms=answer.ms)

    async def _label(self, command: Tag | Untag) -> Written | Unchanged | Refused | Trouble:
        """Set or remove a label: the contact's group, made if need be."""
        if not read.NAME.match(command.contact_id):
            return Trouble(key="no_contact_id", detail="This isn't the name of a contact in Google Contacts.")
        group = await self._labels.resource(self._client, command.tag)
        if group is None and isinstance(command, Untag):
            return Unchanged(contact_id=command.contact_id)
        if group is None:
            group = await self._labels.create(self._client, command.tag)
        if isinstance(group, Trouble):
            return before_write(group)
        if group is None:
            return Refused(reason="Google keeps the label's name for a group of its own.", code="label")
        key = "resourceNamesToAdd" if isinstance(command, Tag) else "resourceNamesToRemove"
        path = f"{group}/members:modify"
        answer = await self._client.ask("POST", path, {}, {key: [command.contact_id]})
        if isinstance(answer, Failure):
            if answer.problem.key == 404:  # the label, not the contact: somebody deleted it
                self._labels.forget(self._client)
                return Trouble(key="not_sent", detail="The label was deleted a moment ago: it is made anew.")
            return answer.trouble()
        done = answer if isinstance(answer, Trouble) else answer.decoded(_Modified)
        if isinstance(done, Trouble):
            return done
        if command.contact_id in done.not_found_resource_names:
            return GONE
        if command.contact_id in done.can_not_remove_last_contact_group_resource_names:
            reason = "It is the contact's last label, which Google doesn't remove: give the contact another one."
            return Refused(reason=reason, code="last_label")
        found = await lookup.look(self._client, command.contact_id)
        seen = await self.observed(*found) if isinstance(found, tuple) else None
        return Written(contact_id=command.contact_id, seen=seen, ms=answer.ms if isinstance(answer, Answer) else 0)

    def _unlabelled(self) -> Trouble:
        return Trouble(key="not_sent", detail="The contact changed, and its labels' names can't be read now.")


def holds(raw: Json, wanted: Fields) -> bool:
    """Whether the person has these values, in this order."""
    present = read.fields(raw)
    return all(_comparable(present.get(path, ())) == _comparable(values) for path, values in wanted.items())


def _comparable(values: tuple[Value, ...]) -> list[str]:
    return [text for value in values if (text := _told(value))]


def _told(value: Value) -> str:
    match value:
        case str():
            return " ".join(value.split()).casefold() if "@" in value else " ".join(value.split())
        case PersonName():
            parts = (value.prefix, value.given, value.middle, value.family, value.suffix)
            return "\x1f".join(" ".join(part.split()) for part in parts) if any(parts) else value.full.strip()
        case Address():
            parts = msgspec.structs.astuple(value)
            return "\x1f".join(" ".join(str(part).split()) for part in parts) if any(parts) else ""
