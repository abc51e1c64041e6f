"""Whether the topics that a consumer reads still are the ones that it began with."""

from __future__ import annotations

from collections.abc import Mapping

from services.runtime.log import Partition
from services.runtime.log.errors import OffsetOutOfRangeError
from services.runtime.log.kafka_cluster import Cluster, unknown

_MISSES = 3
"""A broker that has just started may not know a topic for a moment."""
_ADOPT = "`contactsync log adopt` goes on with what is there, and has all accounts read again."


class Sameness:
    """The topics of one consumer, each with the id it had when the consumer began."""

    def __init__(self, cluster: Cluster, ids: Mapping[str, str]) -> None:
        self.ids = ids
        self._cluster = cluster
        self._misses = 0

    async def partitions(self) -> frozenset[Partition]:
        """Return the partitions that the topics have now; to be asked every few seconds.

        Raises `OffsetOutOfRangeError` for a topic that was made anew, `UnknownTopicError` for one that stays away.
        """
        there = await self._cluster.topics(self.ids)
        gone = sorted(self.ids.keys() - there.keys())
        self._misses = self._misses + 1 if gone else 0
        if self._misses >= _MISSES:
            raise unknown(gone[0])
        for name, topic in there.items():
            if topic.id != self.ids[name]:
                raise _made_anew(name)
        return frozenset(Partition(name, number) for name, topic in there.items() for number in topic.leaders)

    async def out_of_range(self, place: Partition, position: int) -> OffsetOutOfRangeError:
        """Return what it means that there is nothing at a position. Raises `UnknownTopicError`."""
        if (await self._cluster.topic(place.topic)).id != self.ids[place.topic]:
            return _made_anew(place.topic)
        first, end = (await self._cluster.bounds(place.topic))[place]
        said = f"{place.topic}, partition {place.number}: the next offset to read is {position}, but "
        if position < first:
            return OffsetOutOfRangeError(
                f"{said}retention has left only {first} and later; {first - position} messages were never read. "
                f"Lengthen the topic's retention.ms. {_ADOPT}"
            )
        return OffsetOutOfRangeError(
            f"{said}the log ends at {end}: it is older than the progress made with it, as after a restored copy or an "
            f"election of a broker that had fallen behind. {_ADOPT}"
        )


def _made_anew(topic: str) -> OffsetOutOfRangeError:
    return OffsetOutOfRangeError(
        f"The topic {topic} isn't the one that was read so far: it was deleted and made anew. Nothing of the new one "
        f"was taken for the old. {_ADOPT}"
    )
