"""One member of a consumer group of Kafka."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka import errors as kafka

from services.runtime.log import Listener, LogUnavailableError, Partition, Record
from services.runtime.log.errors import (
    OffsetOutOfRangeError,
    UnknownTopicError,
    UnreadPartitionsError,
    is_passing,
)
from services.runtime.log.kafka_errors import FencedInstanceIdError, ours, raise_as_ours
from services.runtime.log.kafka_group import Deal, Membership
from services.runtime.log.kafka_record import record
from services.runtime.log.kafka_sameness import Sameness
from services.runtime.log.progress import ForeignLogError

_COMMIT_SECONDS = 5.0
_LEAVE_SECONDS = 10.0
_GUARD_SECONDS = 2.0
_TAKE_SECONDS = 5.0  # more only while the database is away, or an earlier owner was stopped amid its work
_OTHER_TOPICS = (UnknownTopicError, OffsetOutOfRangeError, ForeignLogError, UnreadPartitionsError)
"""The topics aren't what they were when the partitions were dealt: the next start has to be dealt anew."""


class KafkaConsumer(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    """`Consumer` over Kafka.

    aiokafka's group protocol is the eager one: at every rebalance all partitions are revoked and then dealt anew.
    """

    def __init__(
        self,
        where: str,
        listener: Listener,
        *,
        topics: Sameness,
        membership: Membership,
        deal: Deal,
    ) -> None:
        self._where = where
        self._listener = listener
        self._membership = membership
        self._group = membership.group.name
        self._deal = deal
        self._topics = topics
        self._inner: Any = None
        self._held: frozenset[Partition] = frozenset()
        self._placed: set[Partition] = set()
        """Those whose start is known: others aren't read."""
        self._paused: set[Partition] = set()
        self._taking: asyncio.Task[None] | None = None
        self._releasing = asyncio.Lock()
        self._leaving = False
        """Whether it is about to leave for good, in order to be dealt partitions anew."""
        self._wake = asyncio.Event()
        self._failure: BaseException | None = None
        self._closing = False

    @contextlib.asynccontextmanager
    async def reading(self, make: Callable[[], AIOKafkaConsumer]) -> AsyncIterator[KafkaConsumer]:
        """Be a member until the block ends; then drain, and leave the partitions to others."""
        self._inner = make()
        guard: asyncio.Task[None] | None = None
        try:
            with ours(self._where):
                await self._inner.start()
            # One partition's unread records would hold up every other's of that broker for a tenth of a second.
            self._inner._fetcher._prefetch_backoff = 0.0  # noqa: SLF001
            self._inner.subscribe(topics=list(self._topics.ids), listener=self)
            guard = asyncio.create_task(self._guard(), name=f"log-guard-{self._group}")
            yield self
        except _OTHER_TOPICS:
            self._leaving = True
            raise
        finally:
            self._closing = True
            if guard is not None:
                guard.cancel()
                await asyncio.wait({guard})
            try:
                if not self._releasing.locked():
                    await self._stay()
                await self._release()
            finally:
                await self._stay()
                if self._leaving:
                    with contextlib.suppress(Exception):  # what ended the block is to be told
                        await self._membership.end(self._member_id())
                await self._leave()

    async def fetch(self, *, max_records: int, timeout: float) -> Mapping[Partition, Sequence[Record]]:
        """As the port says. Raises `OffsetOutOfRangeError`, `FencedError`, or what the listener raised."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        while True:
            # Whoever has just been given records resumes their partition before the next request is composed.
            await asyncio.sleep(0)
            if self._failure is not None:
                raise self._failure
            self._wake.clear()
            left = max(0.0, deadline - loop.time())
            if found := await self._pull(max_records, left):
                return found
            if loop.time() >= deadline:
                return {}

    def pause(self, partition: Partition) -> None:
        """As the port says. What aiokafka has fetched ahead stays, and it fetches no more before that is taken."""
        self._paused.add(partition)

    def resume(self, partition: Partition) -> None:
        """As the port says."""
        self._paused.discard(partition)
        self._wake.set()

    def seek(self, partition: Partition, offset: int) -> None:
        """As the port says. A partition that isn't owned (any more) is left alone."""
        if partition in self._placed:
            self._inner.seek(TopicPartition(*partition), offset)
            self._wake.set()

    async def commit(self, offsets: Mapping[Partition, int]) -> None:
        """As the port says. What a rebalance or an outage prevents is told with the next commit."""
        mine = {TopicPartition(*place): offset for place, offset in offsets.items() if place in self._placed}
        if not mine:
            return
        try:
            async with asyncio.timeout(_COMMIT_SECONDS):
                await self._inner.commit(mine)
        except (kafka.KafkaError, TimeoutError, OSError) as error:
            if not isinstance(error, kafka.IllegalStateError | TimeoutError) and not is_passing(error):
                raise_as_ours(self._where, error)
            structlog.get_logger().debug("log_not_committed", group=self._group, error=type(error).__name__)

    async def on_partitions_revoked(self, revoked: object) -> None:
        """Let the owner finish; called by aiokafka, which beats on meanwhile and joins again afterwards."""
        try:
            await self._release()
            await self._membership.refuse_a_double(self._member_id())
            if self._leaving and not self._closing:
                self._leaving = False
                await self._membership.end(self._member_id())
                self._inner._coordinator.reset_generation()  # noqa: SLF001
        except Exception as error:  # noqa: BLE001 - fetch raises it
            self._fail(error)
        if self._failure is not None or self._closing:
            # Ends the membership: to join again would displace the rightful owner of the name.
            raise asyncio.CancelledError

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        """Have the owner take them. It goes on in a task, because no beat is sent before this returns."""
        self._membership.began(self._member_id())
        self._deal.changed()
        if not assigned or self._closing or self._failure is not None:
            return
        for place in assigned:
            # A place without a position would be looked up in the group's own offsets, which count for nothing here.
            self._inner.seek(place, 0)
            self._inner.pause(place)
        self._held = frozenset(Partition(*place) for place in assigned)
        self._taking = asyncio.create_task(self._take(self._held), name=f"log-take-{self._group}")

    async def _take(self, places: frozenset[Partition]) -> None:
        """Have the owner take each by itself: one that it has to wait for holds up none of the others."""
        log = structlog.get_logger()
        tasks = [asyncio.create_task(self._take_one(place)) for place in sorted(places)]
        try:
            _, late = await asyncio.wait(tasks, timeout=_TAKE_SECONDS)
            if late:
                log.warning("partitions_awaited", group=self._group, partitions=len(late))
                await asyncio.wait(late)
            log.info("partitions_assigned", group=self._group, partitions=len(self._placed))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def _take_one(self, place: Partition) -> None:
        try:
            for taken, offset in (await self._listener.assigned(frozenset({place}))).items():
                self._inner.seek(TopicPartition(*taken), offset)
                self._inner.resume(TopicPartition(*taken))
                self._placed.add(taken)
            self._wake.set()
        except Exception as error:  # noqa: BLE001 - fetch raises it
            self._fail(error)

    async def _release(self) -> None:
        """Revoke what the owner holds, or is about to take."""
        self._placed.clear()
        self._paused.clear()
        self._wake.set()
        async with self._releasing:
            if self._taking is not None:
                self._taking.cancel()
                await asyncio.wait({self._taking})
                self._taking = None
            held, self._held = self._held, frozenset()
            if held:
                await self._listener.revoked(held)

    async def _pull(self, max_records: int, seconds: float) -> dict[Partition, list[Record]]:
        """Wait for records, until something changes or the time is up."""
        waking = asyncio.ensure_future(self._wake.wait())
        pulling: asyncio.Future[Any] | None = None
        if wanted := [TopicPartition(*place) for place in self._placed - self._paused]:
            pulling = asyncio.ensure_future(
                self._inner.getmany(*wanted, timeout_ms=seconds * 1000, max_records=max_records)
            )
        tasks = {waking, pulling} if pulling is not None else {waking}
        try:
            # aiokafka looks at what is there first, also without any time left.
            await asyncio.wait(tasks, timeout=max(seconds, 0.01), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        if pulling is None or pulling.cancelled():
            return {}
        error = pulling.exception()
        if error is not None:
            await self._raise(error)
        found: dict[Partition, list[Record]] = {}
        for where, messages in pulling.result().items():
            place = Partition(*where)
            # Taken away meanwhile: the next owner reads them again.
            if place in self._placed:
                found[place] = [record(place, message) for message in messages]
        return found

    async def _raise(self, error: BaseException) -> None:
        if isinstance(error, kafka.OffsetOutOfRangeError):
            for where, offset in error.args[0].items():
                raise await self._topics.out_of_range(Partition(*where), offset)
        if isinstance(error, FencedInstanceIdError) or FencedInstanceIdError.__name__ in str(error):
            raise self._membership.displaced() from error
        raise_as_ours(self._where, error)

    async def _guard(self) -> None:
        """Notice a topic that was made anew, or taken away, under a running consumer, and partitions nobody reads."""
        while self._failure is None:
            await asyncio.sleep(_GUARD_SECONDS)
            try:
                await self._see_to_the_deal(await self._topics.partitions())
            except LogUnavailableError:
                continue
            except Exception as error:  # noqa: BLE001 - fetch raises it
                self._fail(error)

    async def _see_to_the_deal(self, places: frozenset[Partition]) -> None:
        """Have the partitions dealt anew if nobody reads some of them. Raises `UnreadPartitionsError`."""
        if not self._membership.id:
            return
        again = await self._deal.must_be_repeated(places)
        if self._deal.unread:
            # Whichever member deals has to know them; it would ask for the topics every five minutes only.
            self._inner._client.force_metadata_update()  # noqa: SLF001
        if again:
            structlog.get_logger().warning("partitions_unread", group=self._group, partitions=len(self._deal.unread))
            # A member that is known is given what it has, without anything being dealt (KIP-345).
            self._leaving = True
            self._inner._coordinator.request_rejoin()  # noqa: SLF001

    def _member_id(self) -> str:
        coordinator = self._inner._coordinator  # noqa: SLF001
        return coordinator.member_id if coordinator is not None else ""

    def _fail(self, error: BaseException) -> None:
        if self._failure is None:
            self._failure = error
        self._wake.set()

    async def _stay(self) -> None:
        """Take part in no more rebalances; beats go on. A join under way could take a minute to be answered."""
        coordinator = self._inner._coordinator  # noqa: SLF001
        if coordinator is not None:
            coordinator._coordination_task.cancel()  # noqa: SLF001
            await asyncio.wait({coordinator._coordination_task})  # noqa: SLF001

    async def _leave(self) -> None:
        # A task: while the cluster is away, aiokafka's stop ends as if somebody had cancelled it.
        stopping = asyncio.create_task(self._inner.stop())
        await asyncio.wait({stopping}, timeout=_LEAVE_SECONDS)
        if not stopping.done():
            stopping.cancel()
            await asyncio.wait({stopping})
        if stopping.cancelled() or stopping.exception() is not None:
            # The session ends by itself.
            structlog.get_logger().warning("log_group_not_left", group=self._group)
            await self._inner._client.close()  # noqa: SLF001
