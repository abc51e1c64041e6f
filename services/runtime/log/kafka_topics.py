"""The topics of a Kafka cluster: made as they should be, and checked to be so."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta

from services.runtime.log import LogUnavailableError
from services.runtime.log.errors import PartitionCountError, TopicSettingsError
from services.runtime.log.kafka_cluster import Cluster, Topic, unknown

RETENTION = timedelta(days=35)
"""Longer than Stripe keeps its own events."""
MAX_MESSAGE_BYTES = 4 << 20
"""An event of the largest webhook (1 MiB) carries its object twice, as it came and normalized: with room to spare."""
_COPIES = 3
_SEEN_SECONDS = 30.0
_POLL_SECONDS = 0.05


class Topics:
    """What every topic of an installation has to be like."""

    def __init__(self, cluster: Cluster, *, retention: timedelta = RETENTION) -> None:
        self._cluster = cluster
        self._retention_ms = retention // timedelta(milliseconds=1)

    async def create(self, topics: Mapping[str, int]) -> dict[str, int]:
        """Create those that aren't there, and check all; as `check`."""
        brokers = await self._cluster.brokers()
        settings = {
            "cleanup.policy": "delete",
            "retention.ms": str(self._retention_ms),
            "retention.bytes": "-1",
            "max.message.bytes": str(MAX_MESSAGE_BYTES),
            "message.timestamp.type": "LogAppendTime",
            "min.insync.replicas": str(_in_sync(brokers)),
        }
        missing = sorted(topics.keys() - await self._cluster.topics(topics))
        for name in missing:
            await self._cluster.create(name, topics[name], min(_COPIES, brokers), settings)
        await self._seen(topics)
        for name in missing:
            # A leader is named before it is in office.
            await self._cluster.bounds(name)
        return await self.check(topics)

    async def check(self, topics: Mapping[str, int]) -> dict[str, int]:
        """Return how many copies of each topic have to be up to date for a publication.

        Raises `UnknownTopicError`, `PartitionCountError` or `TopicSettingsError`, whose sentences name the topic.
        """
        there = await self._cluster.topics(topics)
        for name in sorted(topics):
            if name not in there:
                raise unknown(name)
        brokers, settings = await self._cluster.brokers(), await self._cluster.settings(topics)
        for name, partitions in sorted(topics.items()):
            _check_partitions(name, there[name], partitions)
            self._check_settings(name, there[name], settings[name], brokers)
        return {name: int(settings[name].get("min.insync.replicas", 1)) for name in topics}

    def _check_settings(self, name: str, topic: Topic, settings: Mapping[str, str], brokers: int) -> None:
        needed = _in_sync(brokers)
        wrong = [
            f"{key} is {settings.get(key)}, and has to be {should}"
            for key, good, should in (
                ("cleanup.policy", settings.get("cleanup.policy") == "delete", "delete"),
                (
                    "retention.ms",
                    _at_least(settings, "retention.ms", self._retention_ms),
                    f"{self._retention_ms} or more",
                ),
                ("retention.bytes", settings.get("retention.bytes") == "-1", "-1"),
                (
                    "max.message.bytes",
                    _at_least(settings, "max.message.bytes", MAX_MESSAGE_BYTES),
                    f"{MAX_MESSAGE_BYTES} or more",
                ),
                ("min.insync.replicas", _at_least(settings, "min.insync.replicas", needed), f"{needed} or more"),
            )
            if not good
        ]
        if brokers >= _COPIES and topic.replicas < _COPIES:
            wrong.append(f"it has {topic.replicas} copies, and has to have {_COPIES}")
        if wrong:
            raise TopicSettingsError(
                f"The topic {name} isn't kept as events have to be: {'; '.join(wrong)}. Change the topic with Kafka's "
                "own tools (kafka-configs.sh, kafka-reassign-partitions.sh), then start again."
            )

    async def _seen(self, topics: Mapping[str, int]) -> None:
        """Wait until a broker knows them, and who leads them."""
        try:
            async with asyncio.timeout(_SEEN_SECONDS):
                while not _led(await self._cluster.topics(topics), topics):  # noqa: ASYNC110 - the cluster's own pace
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError:
            raise LogUnavailableError(
                f"Kafka at {self._cluster.where} has made the topics, but not all of them have a leader."
            ) from None


def _led(there: Mapping[str, Topic], topics: Mapping[str, int]) -> bool:
    return all(name in there and min(there[name].leaders.values()) >= 0 for name in topics)


def _in_sync(brokers: int) -> int:
    return 2 if brokers >= _COPIES else 1


def _at_least(settings: Mapping[str, str], key: str, least: int) -> bool:
    """Whether a number is large enough; for the retention, -1 is for ever."""
    value = int(settings.get(key, "0"))
    return value >= least or (key == "retention.ms" and value == -1)


def _check_partitions(name: str, topic: Topic, partitions: int) -> None:
    there = len(topic.leaders)
    if there != partitions:
        raise PartitionCountError(
            f"The topic {name} has {there} partitions, the settings say {partitions}. Their number can't be changed, "
            f"because keys would change places: set it to {there} again."
        )
