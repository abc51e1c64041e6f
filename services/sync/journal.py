"""The journal: what was taken in by a transaction, and what was decided about it. One statement writes both (P17)."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import msgspec

from services.runtime.store import Connection as Database
from services.sync.configs import Configs
from services.sync.core.slice import ContactKey, Slice
from services.sync.core.state import Decision
from services.sync.explain.detail import Answered, Detail, Seen, encoded
from services.sync.replay.effect import effect, given
from services.sync.replay.inputs import Body, Given, Item

_CONFIG = "INSERT INTO sync.input_config (fingerprint, body) VALUES ($1, $2) ON CONFLICT DO NOTHING"
_INPUT = """
INSERT INTO sync.input (day, number, xid, now, config, effect, body)
SELECT $1::timestamptz::date, nextval('sync.input_number'), pg_current_xact_id(), $2, $3, $4, $5
"""
# A transaction has its number while it still holds its locks: where two touch the same, numbers have the locks' order.
_JOURNAL = f"""
WITH taken AS ({_INPUT} RETURNING number)
INSERT INTO sync.journal (day, number, at, tx, link, connection, input, cause, topic, partition, position,
                          config_version, outcome, reason, detail)
SELECT $1::timestamptz::date, nextval('sync.journal_number'), $1, taken.number, told.*
  FROM taken, unnest($6::uuid[], $7::text[], $8::text[], $9::text[], $10::text[], $11::int[], $12::bigint[],
                     $13::bigint[], $14::text[], $15::text[], $16::jsonb[]) told
"""  # noqa: S608 - a statement of ours


class Journalled(msgspec.Struct, frozen=True, kw_only=True):
    """A decision with the input that caused it."""

    decision: Decision
    input: str
    """The message type, or `reconsider`."""
    cause: str
    """The message's id, or the link's."""
    topic: str | None = None
    partition: int | None = None
    position: int | None = None
    seen: Seen | None = None
    answered: Answered | None = None

    @property
    def reason(self) -> str:
        """The reason as it is stored: PostgreSQL's texts don't hold U+0000."""
        return self.decision.reason.replace("\0", "\ufffd")

    @property
    def detail(self) -> Detail:
        """What the column `detail` holds."""
        decision = self.decision
        return Detail(lines=decision.lines, writes=decision.writes, seen=self.seen, answered=self.answered)


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """What a transaction took in, and the registry that it was decided under."""

    configs: Configs
    items: tuple[Item, ...]
    """In the order in which they were folded; none where a person's word is what changed the state."""


async def keep(
    database: Database,
    before: Mapping[ContactKey, str],
    state: Slice,
    journal: Sequence[Journalled],
    taken: Taken,
    seqs: Mapping[str, int],
) -> None:
    """Write the inputs and the decisions. `before`: the reservations as loaded; `seqs`: new links' places."""
    told = bool(taken.items)
    items: tuple[Item, ...] = taken.items if told else (given(before, state, seqs),)
    if not told and not journal and items == (Given(),):
        return
    body = Body(
        items=items,
        incarnation=taken.configs.incarnation,
        catching_up=taken.configs.catching_up,
        active=state.active,
        seqs=dict(seqs) if told else {},
    )
    fingerprint = await _config(database, taken.configs)
    await database.execute(
        _JOURNAL,
        moment(state.now),
        state.now,
        fingerprint,
        effect(before, state) if told else "",
        msgspec.json.encode(body).decode(),
        [row.decision.link or None for row in journal],
        [row.decision.connection or None for row in journal],
        [row.input for row in journal],
        [row.cause for row in journal],
        [row.topic for row in journal],
        [row.partition for row in journal],
        [row.position for row in journal],
        [row.decision.config_version for row in journal],
        [row.decision.outcome for row in journal],
        [row.reason for row in journal],
        [encoded(row.detail) for row in journal],
    )


async def keep_given(database: Database, now: int, fact: Given) -> None:
    """Write what changed without any decision: a scan's end, a person's word on many deletions."""
    body = Body(items=(fact,), incarnation=0)
    await database.execute(_INPUT, moment(now), now, "", "", msgspec.json.encode(body).decode())


async def _config(database: Database, configs: Configs) -> str:
    if configs.told is None:
        raise AssertionError("what is kept was decided under the registry, not under another file")
    if not configs.noted:
        await database.execute(_CONFIG, configs.told.fingerprint, configs.told.encoded().decode())
    return configs.told.fingerprint


def moment(micros: int | None) -> datetime | None:
    """Return microseconds since 1970 as a moment."""
    return None if micros is None else datetime.fromtimestamp(micros / 1_000_000, UTC)
