"""A consumer group of Kafka: who is in it, what has been dealt to whom, and what to nobody."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Collection

import msgspec
import structlog
from aiokafka import errors as kafka
from aiokafka.coordinator.protocol import ConsumerProtocol

from services.runtime.log import FencedError, LogUnavailableError, Partition
from services.runtime.log.errors import LogRefusedError, UnreadPartitionsError
from services.runtime.log.kafka_cluster import Cluster
from services.runtime.log.kafka_errors import FencedInstanceIdError, raise_as_ours
from services.runtime.log.kafka_protocol import GroupRequest, LeaveRequest

_STABLE = "Stable"
_LOOK_SECONDS = 10.0
_NAMED = 5
"""So many partitions at most does a sentence name."""


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """One member, as the group's coordinator has it."""

    id: str
    name: str | None
    """Its lasting name (`group.instance.id`)."""
    places: frozenset[Partition]
    """What it has been dealt; nothing while the group is dealing."""


class Group:
    """Questions about one group."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.name = name
        self._cluster = cluster

    async def owner(self, name: str) -> str | None:
        """Return the id of the member that has this lasting name now."""
        _, members = await self._described()
        return next((member.id for member in members if member.name == name), None)

    async def dealt(self) -> frozenset[Partition] | None:
        """Return what the members have been dealt, all together; None while that is being settled."""
        state, members = await self._described()
        return frozenset[Partition]().union(*(member.places for member in members)) if state == _STABLE else None

    async def leave(self, member: str, name: str | None) -> None:
        """End a membership for good: whoever comes under the same lasting name is dealt anew.

        A member that the group doesn't know has left already. Raises aiokafka's `FencedInstanceIdError` if the name is
        another member's by now.
        """
        answer = await self._cluster.ask_coordinator(self.name, LeaveRequest(self.name, member, name))
        for code in (answer.error_code, *(code for *_, code in answer.members)):
            self._check(code, kafka.UnknownMemberIdError)

    async def _described(self) -> tuple[str, list[Member]]:
        answer = await self._cluster.ask_coordinator(self.name, GroupRequest(self.name))
        [(code, _, state, _, _, members, _)] = answer.groups
        self._check(code)
        return state, [
            Member(id=id_, name=name, places=_places(assignment)) for id_, name, _, _, _, assignment in members
        ]

    def _check(self, code: int, *fine: type[kafka.KafkaError]) -> None:
        error = kafka.for_code(code)
        if error is FencedInstanceIdError:
            raise error(self.name)
        if error not in (kafka.NoError, *fine):
            raise_as_ours(self._cluster.where, error(self.name))


class Membership:
    """This process's own membership of a group, under a lasting name or under none."""

    def __init__(self, group: Group, name: str | None) -> None:
        self.group = group
        self._name = name
        self.id = ""
        """The member's id since it was last dealt partitions; empty before, and after it has left for good."""

    def began(self, id_: str) -> None:
        """Note that this member has been dealt partitions."""
        self.id = id_

    async def end(self, id_: str) -> None:
        """Leave for good. `id_`: the member's id by now, if it has one. Raises `FencedError`.

        If the cluster is away, the session ends it, or the next membership under the name continues it.
        """
        member, self.id = id_ or self.id, ""
        if not member:
            return
        try:
            await self.group.leave(member, self._name)
        except FencedInstanceIdError as error:
            raise self.displaced() from error
        except (LogUnavailableError, LogRefusedError) as error:
            structlog.get_logger().warning("log_group_not_left", group=self.group.name, error=type(error).__name__)

    async def refuse_a_double(self, id_: str) -> None:
        """Raise `FencedError` if another process has joined under this one's lasting name.

        Kafka tells a displaced member only that it doesn't know it, as it tells one that was silent for too long,
        and aiokafka would join again and displace the other in turn, and so on to and fro.
        """
        if self._name is None or id_ or not self.id:
            return
        try:
            owner = await self.group.owner(self._name)
        except LogUnavailableError:
            return
        if owner not in {None, self.id}:
            raise self.displaced()

    def displaced(self) -> FencedError:
        """Return the sentence about a name that another process has."""
        return FencedError(
            f"Another process has joined the group {self.group.name} as {self._name!r}. Give each process a name of "
            "its own, or stop one of them."
        )


class Deal:
    """Watches that every partition of a group's topics has been dealt to somebody.

    A static member that comes back within its session gets what it had (KIP-345), and nothing is dealt anew: partitions
    that are new since then, or a topic's that was away when they were dealt, would be nobody's for ever. Every member
    watches, about every 10 s, at times of its own. `session` and `beat` are the group's, in seconds.
    """

    def __init__(self, group: Group, *, session: float, beat: float) -> None:
        self._group = group
        self._session = session
        self._patience = 3 * beat
        self._due = 0.0
        self._since: float | None = None
        self._asked = False
        self.unread: frozenset[Partition] = frozenset()
        """What was nobody's at the last look."""

    def changed(self) -> None:
        """Look soon: this member has just been dealt its partitions."""
        self._due = 0.0

    async def must_be_repeated(self, places: Collection[Partition]) -> bool:
        """Whether to deal anew now, since some of these partitions have been nobody's for a few heartbeats.

        It is said once. Raises `UnreadPartitionsError` when it didn't help within a session.
        """
        now = asyncio.get_running_loop().time()
        if now < self._due:
            return False
        self._due = now + _LOOK_SECONDS * random.uniform(0.75, 1.25)  # noqa: S311 - no secret
        dealt = await self._group.dealt()
        self.unread = frozenset() if dealt is None else frozenset(places) - dealt
        if not self.unread:
            self._since = None
            self._asked = self._asked and dealt is None
            return False
        self._due = now + self._patience
        if self._since is None:
            self._since = now
        waited = now - self._since
        if self._asked:
            if waited > self._session:
                raise UnreadPartitionsError(self._sentence())
            return False
        if waited < self._patience:
            return False
        self._asked, self._since = True, None
        return True

    def _sentence(self) -> str:
        named = [f"{topic}, partition {number}" for topic, number in sorted(self.unread)[:_NAMED]]
        more = f" and {len(self.unread) - _NAMED} more" if len(self.unread) > _NAMED else ""
        return (
            f"No member of the group {self._group.name} reads {'; '.join(named)}{more}, though the partitions were "
            "dealt anew. Stop all processes that read these topics, and then start them again."
        )


def _places(assignment: bytes | None) -> frozenset[Partition]:
    if not assignment:
        return frozenset()
    return frozenset(Partition(*place) for place in ConsumerProtocol.ASSIGNMENT.decode(assignment).partitions())
