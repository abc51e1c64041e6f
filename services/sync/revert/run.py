"""Carrying a revert out: every contact by itself, under the locks of sync, one write of a side at a time."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime

import msgspec

from services.contracts.app import Manifest
from services.runtime.store import Store
from services.sync.explain.detail import Detail
from services.sync.hand.word import seeds, spoken
from services.sync.revert.back import Due, Intent, Left
from services.sync.revert.chosen import Key
from services.sync.revert.word import revert

PATIENCE = 20.0
"""Seconds without any answer after which what is on its way is left to itself."""
_PAUSE = 0.2
_MOVING = "SELECT id::text FROM sync.link WHERE id = ANY($1::uuid[]) AND unsettled_since IS NOT NULL"
_ANSWERS = """
SELECT link::text, detail FROM sync.journal
 WHERE day >= $1::timestamptz::date - 1 AND link = ANY($2::uuid[]) AND detail ? 'answered' ORDER BY number
"""


class Reverted(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a revert."""

    sent: int
    """Compensating writes that were decided."""
    answers: Mapping[str, int]
    """How the apps answered: `written`, `refused`, `stale`, `deferred` …"""
    unanswered: int
    """They are on their way."""
    stays: tuple[tuple[Intent, Left], ...]
    """What wasn't taken back after all."""

    @property
    def whole(self) -> bool:
        """Whether everything went back."""
        return not self.stays and not self.unanswered and set(self.answers) <= {"written", "unchanged"}


async def run(
    store: Store,
    manifests: Mapping[str, Manifest],
    intents: Sequence[Intent],
    went: Callable[[int], object] = lambda _: None,
    patience: float = PATIENCE,
) -> Reverted:
    """Take the intents back. `went` hears how many are done. Repeating it is safe: what went back stays."""
    began: datetime = await store.fetchval("SELECT now()")
    loop = asyncio.get_running_loop()
    sent: set[Key] = set()
    stays: list[tuple[Intent, Left]] = []
    todo = list(intents)
    heard = loop.time()
    while todo:
        again: list[Intent] = []
        late: list[tuple[Intent, Left]] = []
        for intent in todo:
            found, key = await _say(store, manifests, intent)
            if key is not None:
                sent.add(key)
                heard = loop.time()
                if _more(found):
                    again.append(intent)
                    continue
            elif any(each.passing for each in found.left):
                again.append(intent)
                late += [(intent, each) for each in found.left]
                continue
            stays += [(intent, each) for each in found.left]
            went(1)
        todo = again
        moved = await _settle(store, {intent.link for intent in todo}, heard + patience)
        if todo and not moved and loop.time() > heard + patience:
            stays += late
            break
    await _settle(store, {link for link, _, _ in sent}, loop.time() + patience)
    answers = await _answers(store, began, sent)
    return Reverted(sent=len(sent), answers=answers, unanswered=len(sent) - sum(answers.values()), stays=tuple(stays))


async def _say(store: Store, manifests: Mapping[str, Manifest], intent: Intent) -> tuple[Due, Key | None]:
    named = seeds(links=(intent.link,))
    cause = f"revert {intent.link}"
    found, version = await spoken(store, manifests, named, cause, lambda state: revert(state, intent))
    return found, None if version is None else (intent.link, intent.side, version)


def _more(found: Due) -> bool:
    """Whether something is still to be done after the write that was just issued."""
    return len(found.marks) > (0 if found.fields else 1)


async def _settle(store: Store, links: Iterable[str], deadline: float) -> bool:
    """Wait until no write to these pairs is under way, or for so long that none was answered; whether all are."""
    loop = asyncio.get_running_loop()
    waiting = sorted(links)
    patience = deadline - loop.time()
    while waiting:
        left = [row["id"] for row in await store.fetch(_MOVING, waiting)]
        if len(left) < len(waiting):
            deadline = loop.time() + patience
        waiting = left
        if waiting and loop.time() > deadline:
            return False
        if waiting:
            await asyncio.sleep(_PAUSE)
    return True


async def _answers(store: Store, since: datetime, keys: set[Key]) -> Counter[str]:
    found: dict[Key, str] = {}
    for row in await store.fetch(_ANSWERS, since, sorted({link for link, _, _ in keys})):
        answered = msgspec.json.decode(row["detail"], type=Detail).answered
        key = None if answered is None else (row["link"], answered.side, answered.version)
        if answered is not None and key in keys and answered.outcome != "unknown":
            found[key] = answered.outcome
    return Counter(found.values())
