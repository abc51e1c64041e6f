"""Customers written: made with our mark under a name nobody else has, changed under their SyncToken."""

from collections.abc import Sequence

from services.connectors.quickbooks import batch, body, lookup
from services.connectors.quickbooks.batch import Post
from services.connectors.quickbooks.client import Answer, Client, Failure
from services.connectors.quickbooks.customer import Customer, Json, addresses, customer, remembered, text
from services.connectors.quickbooks.error import NOT_FOUND, STALE, TAKEN, before_write, unreadable
from services.connectors.quickbooks.manifest import MANIFEST, NAME_LENGTH
from services.connectors.quickbooks.name import candidates
from services.connectors.verdicts import verdict_on
from services.contracts.app import Gone, Trouble, Verdict
from services.contracts.commands import Create, Tag, Untag, Update, Write
from services.contracts.envelope import derived
from services.contracts.receipts import Refused, Stale, Unchanged, Written
from services.runtime.app import Attempt

GONE = Refused(reason="The customer isn't in QuickBooks any more, or is inactive.", code="gone", gone=True)
ALONE = Trouble(key="alone", detail="It takes more than one request, and is sent by itself.")
"""Nothing of the write was carried out yet."""
_PATH = "customer"


class Writer:
    """Writes for one account."""

    def __init__(self, client: Client, attempt: Attempt) -> None:
        self._client = client
        self._attempt = attempt

    async def write(self, command: Write) -> Written | Unchanged | Refused | Stale | Trouble:
        """Send one write once. A name that is taken costs further tries, a lost guard a reading and one (P14)."""
        match command:
            case Create() | Update() if refused := body.unwritable(command.fields):
                return refused
            case Create():
                return await self._create(command)
            case Update():
                return await self._update(command)
            case Tag() | Untag():
                return Refused(reason="QuickBooks has no labels for customers.", code="no_tags")

    def opening(self, command: Write) -> Post | None:
        """Return the request that a write begins with; None if something has to be read before, or nothing is sent."""
        if self._attempt.n:
            return None
        match command:
            case Create() | Update() if body.unwritable(command.fields):
                return None
            case Create():
                built = body.new(command.fields, command.aim.link)
                if isinstance(built, Refused):
                    return None
                given, wanted = built
                name = next(iter(names_for(wanted, command)), None)
                return None if name is None else self._request({**given, "DisplayName": name}, name)
            case Update():
                known = remembered(command.object)
                if known is None or known.id != command.contact_id or known.guard != command.guard:
                    return None
                changes = body.changed(known.raw, command.fields)
                name = changes.get("DisplayName")
                # Another name may be taken: which one it can have is found out by itself.
                if not changes or name is not None:
                    return None
                return self._request({"Id": known.id, "SyncToken": known.guard, "sparse": True, **changes}, known.guard)
            case Tag() | Untag():
                return None

    def opened(self, answer: Answer | Failure | Trouble) -> Written | Refused | Trouble:
        """Return what the answer to the opening says; `alone` if the write has to go on by itself."""
        return ALONE if isinstance(answer, Failure) and answer.key == TAKEN else self._written(answer)

    async def _create(self, command: Create) -> Written | Refused | Trouble:
        built = body.new(command.fields, command.aim.link)
        if isinstance(built, Refused):
            return built
        given, wanted = built
        names = names_for(wanted, command)
        taken: set[str] | None = None
        if self._attempt.n:
            found = await self._ours(command, names)
            if not isinstance(found, set):
                return found
            taken = found
        for name in names:
            if taken is not None and name.casefold() in taken:
                continue
            answer = await self._post({**given, "DisplayName": name}, name)
            if not (isinstance(answer, Failure) and answer.key == TAKEN):
                return self._written(answer)
            if taken is None:
                found = await self._ours(command, names)
                if not isinstance(found, set):
                    return found
                taken = found
        return _all_taken()

    async def _ours(self, command: Create, names: list[str]) -> Written | Trouble | set[str]:
        """Return the customer that this create made before, or else which of the names are taken by customers."""
        rows = await lookup.called(self._client, names)
        if isinstance(rows, Trouble):
            return before_write(rows)
        # An inactive one is what an earlier create of this link made, and somebody deleted.
        made = next((row for row in rows if row.active and row.mark == command.aim.link), None)
        if made is not None:
            return Written(contact_id=made.id, seen=made.observation(), looked=True)
        return {text(row.raw, "DisplayName").casefold() for row in rows}

    async def _update(self, command: Update) -> Written | Unchanged | Refused | Stale | Trouble:
        known = remembered(command.object)
        if known is None or known.id != command.contact_id or known.guard != command.guard:
            return await self._update_fresh(command, None)
        changes = body.changed(known.raw, command.fields)
        if not changes:
            # Nothing to write into it, as far as the observation goes: so the customer decides.
            return await self._update_fresh(command, None)
        answer = await self._change(known, changes)
        if isinstance(answer, Failure) and answer.key == STALE:
            return await self._update_fresh(command, command.guard)
        return answer if isinstance(answer, Refused | Unchanged) else self._written(answer)

    async def _update_fresh(
        self, command: Update, refused: str | None
    ) -> Written | Unchanged | Refused | Stale | Trouble:
        """Read the customer, and write once under what was read if it still is what the decision saw (P14).

        `refused` is the SyncToken that QuickBooks didn't take.
        """
        found = await lookup.look(self._client, command.contact_id)
        if isinstance(found, Trouble):
            return before_write(found)
        if isinstance(found, Gone) or not found.active:
            return GONE
        if found.guard == refused:
            return Trouble(key="behind", detail="QuickBooks shows the customer as it was before: its reading lags.")
        seen = found.observation()
        if any(seen.contact.fields.get(path, ()) != command.expected.get(path, ()) for path in command.fields):
            return Stale(seen=seen)
        changes = body.changed(found.raw, command.fields)
        if not changes:
            return Unchanged(contact_id=found.id, seen=seen)
        answer = await self._change(found, changes)
        if isinstance(answer, Failure) and answer.key == STALE:
            return Stale(seen=seen)
        return answer if isinstance(answer, Refused | Unchanged) else self._written(answer)

    async def _change(self, known: Customer, changes: Json) -> Answer | Failure | Trouble | Refused | Unchanged:
        """Send a sparse update under the customer's version; another name is tried while the one is taken."""
        frame = {"Id": known.id, "SyncToken": known.guard, "sparse": True}
        wanted = changes.pop("DisplayName", None)
        if wanted is None:
            return await self._post({**frame, **changes}, known.guard)
        email = next(iter(addresses({**known.raw, **changes})), "")
        for name in (each for each in candidates(wanted, email) if len(each) <= NAME_LENGTH):
            if name == text(known.raw, "DisplayName"):
                # It bears the addition already, since its name was taken before.
                if not changes:
                    return Unchanged(contact_id=known.id, seen=known.observation())
                return await self._post({**frame, **changes}, known.guard)
            answer = await self._post({**frame, **changes, "DisplayName": name}, f"{known.guard} {name}")
            if not (isinstance(answer, Failure) and answer.key == TAKEN):
                return answer
        return _all_taken()

    async def _post(self, given: Json, what: str) -> Answer | Failure | Trouble:
        """Send the request. Its `requestid` is the same whenever the same is sent, and only then.

        https://blogs.intuit.com/2015/04/06/15346: a repeated one gets the first one's answer. How long it is
        remembered isn't said, so that nothing here relies on it.
        """
        request = self._request(given, what)
        return await self._client.ask("POST", _PATH, {"requestid": request.ident}, request.given)

    def _request(self, given: Json, what: str) -> Post:
        return Post(ident=derived("quickbooks", self._attempt.key, what), given=given)

    def _written(self, answer: Answer | Failure | Trouble) -> Written | Refused | Trouble:
        match answer:
            case Failure() if answer.key == NOT_FOUND:
                return GONE
            case Failure():
                return answer.trouble()
            case Trouble():
                return answer
            case Answer():
                one = answer.decoded(lookup.One)
        if isinstance(one, Trouble):
            return one
        found = customer(one.customer)
        if found is None:
            return unreadable()
        return Written(contact_id=found.id, seen=found.observation(), ms=answer.ms, replayed=self._attempt.n > 0)


async def write_all(
    client: Client, writes: Sequence[tuple[Write, Attempt]]
) -> Sequence[Written | Unchanged | Refused | Stale | Trouble] | Trouble:
    """Send the first requests of these writes in one; `Trouble` if that failed as a whole.

    Of what isn't among them nothing is sent, as if it had been tried in vain: it goes by itself next time.
    """
    writers = [Writer(client, attempt) for _, attempt in writes]
    openings = [writer.opening(command) for writer, (command, _) in zip(writers, writes, strict=True)]
    posts = [each for each in openings if each is not None]
    answers = await batch.post(client, posts) if posts else []
    if isinstance(answers, Failure) and verdict_on(answers.trouble(), MANIFEST) is Verdict.REFUSE:
        # Which item it is about isn't said, if it is about any.
        return [ALONE] * len(writes)
    if isinstance(answers, Failure):
        return answers.trouble()
    if isinstance(answers, Trouble):
        return answers
    told = iter(answers)
    return [
        ALONE if opening is None else writer.opened(next(told))
        for writer, opening in zip(writers, openings, strict=True)
    ]


def names_for(wanted: str, command: Create) -> list[str]:
    """Return the DisplayNames that a create tries, in order."""
    email = next((value for value in command.fields.get("PrimaryEmailAddr", ()) if isinstance(value, str)), "")
    return [name for name in candidates(wanted, email) if len(name) <= NAME_LENGTH]


def _all_taken() -> Refused:
    reason = "Customers, vendors or employees are called so, and also with an address or a number behind it."
    return Refused(reason=f"name: {reason} Rename one of them.", code=TAKEN, fields=("name",))
