"""`settle`: ending an unknown outcome by a person's word."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from services.cli.database import opened
from services.cli.failure import MISUSED, Failure
from services.cli.output import complain, say
from services.cli.reading import look_at
from services.connectors import hand
from services.connectors.hand import Applied, Made, Misfit, NotApplied, UnknownOutcome, Word
from services.contracts.app import Gone, Seen
from services.contracts.contact import Side
from services.contracts.receipts import Observation
from services.runtime.clock import SystemClock
from services.runtime.settings import load
from services.runtime.store import Connection, Store
from services.sync.core.state import Decision
from services.sync.hand.word import noted


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """What a person says of a write: exactly one of these."""

    contact: str | None = None
    applied: bool = False
    absent: bool = False

    def __post_init__(self) -> None:
        if (self.contact is not None) + self.applied + self.absent != 1:
            raise Failure("Write one of --contact ID, --applied and --absent.", MISUSED)


async def settle(link: str, said: Said, side: Side | None) -> int:
    """Take the person's word for the link's write of unknown outcome."""
    async with opened(load()) as store:
        async with store.transaction(readonly=True) as database:
            found = _meant(await hand.unknown(database, SystemClock().now()), link, side)
        if found.kind == "create" and said.applied:
            raise Failure(
                f"It was to create a contact in {found.account}: write --contact ID with the one that was made."
            )
        word = await _word(store, found, said)
        misfit = await store.retrying(lambda database: _settle(database, found, word))
    if misfit is not None:
        raise Failure(_told(misfit, found))
    match word:
        case NotApplied():
            say(f"Settled: the {found.kind} in {found.account} came to nothing. It is sent anew, once.")
        case Made(contact_id=contact_id):
            say(f"Settled: the create in {found.account} made {contact_id}. What changed since follows.")
        case Applied():
            say(f"Settled: the {found.kind} in {found.account} was done. What changed since follows.")
    return 0


async def _settle(database: Connection, found: UnknownOutcome, word: Word) -> Misfit | None:
    now: datetime = await database.fetchval("SELECT clock_timestamp()")
    misfit = await hand.settle(database, found.link, found.side, word, now)
    if misfit is None:
        outcome = type(word).__name__.lower()
        decision = Decision(
            link=found.link,
            connection=found.connection,
            config_version=0,
            outcome="settled",
            reason=f"a person says what became of the {found.kind} in {found.account}: {outcome}",
        )
        await noted(database, decision, f"settle {found.side}")
    return misfit


async def _word(store: Store, found: UnknownOutcome, said: Said) -> Word:
    if said.absent:
        return NotApplied()
    if said.contact is None:
        return Applied()
    match await look_at(store, load(), found.account, said.contact):
        case Seen() as seen:
            shown = Observation(contact_id=seen.contact_id, order=seen.order, contact=seen.contact, object=seen.object)
            return Made(contact_id=seen.contact_id, seen=shown)
        case Gone():
            raise Failure(f"{found.account} has no contact {said.contact}. If nothing was made, write --absent.")
        case trouble:
            complain(f"{said.contact} couldn't be read ({trouble.detail}) Your word is taken for it.")
            return Made(contact_id=said.contact)


def _meant(unknown: Sequence[UnknownOutcome], link: str, side: Side | None) -> UnknownOutcome:
    try:
        link = str(UUID(link))
    except ValueError:
        link = link.lower()
    found = [each for each in unknown if link and each.link.startswith(link) and side in (None, each.side)]
    if len(found) == 1:
        return found[0]
    listed = [f"  {each.link} ({each.kind} in {each.account}, side {each.side})" for each in found or unknown]
    if found:
        raise Failure("\n".join(["More than one outcome is meant: write the whole id, and --side.", *listed]), MISUSED)
    if not listed:
        raise Failure("No outcome is unknown now: there is nothing to settle.")
    raise Failure("\n".join([f"No write of {link} has an unknown outcome. These have:", *listed]))


def _told(misfit: Misfit, found: UnknownOutcome) -> str:
    match misfit:
        case "known":
            return "The outcome is known by now: there is nothing to settle."
        case "create":
            return f"It was to create a contact in {found.account}: write --contact ID with the one that was made."
        case "no create":
            return f"It was an {found.kind} of a contact that is there: write --applied or --absent."
        case "unseen":
            return (
                f"The contact in {found.account} has to be read for this: a newer version of it waits to be written. "
                "Try again when the account answers."
            )
