"""Which process has which partitions, as Kafka itself says; and what an operator's tools do to topics."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment

from services.contracts.envelope import event_key
from services.runtime.log import EVENTS, Partition
from services.runtime.log.partitioner import partition_of
from services.runtime.log.topics import PARTITIONS


@contextlib.asynccontextmanager
async def admin(bootstrap: str) -> AsyncIterator[AIOKafkaAdminClient]:
    """A client for operators' work."""
    client = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await client.start()
    try:
        yield client
    finally:
        await client.close()


async def owners(bootstrap: str, group: str = "sync") -> dict[Partition, str]:
    """Return the name of the process that each partition of the group is dealt to; of none while they are dealt."""
    found: dict[Partition, str] = {}
    async with admin(bootstrap) as client:
        for response in await client.describe_consumer_groups([group]):
            for _code, _group, state, _type, _protocol, members, *_more in response.groups:
                for _member, client_id, _host, _metadata, assignment, *_rest in members if state == "Stable" else ():
                    if not assignment:
                        continue
                    dealt = ConsumerProtocolMemberAssignment.decode(assignment)
                    for topic, numbers in dealt.assignment:
                        for number in numbers:
                            found[Partition(topic, number)] = client_id.removeprefix("contactsync-")
    return found


async def forget_records(bootstrap: str, offsets: dict[Partition, int]) -> None:
    """Have the brokers delete the messages before these offsets."""
    async with admin(bootstrap) as client:
        await client.delete_records(
            {TopicPartition(*place): RecordsToDelete(before_offset=offset) for place, offset in offsets.items()}
        )


async def delete_topic(bootstrap: str, topic: str) -> None:
    """Delete a topic with everything in it."""
    async with admin(bootstrap) as client:
        await client.delete_topics([topic])


def place_of(account: str, contact_id: str) -> Partition:
    """The partition in which everything about a contact is said."""
    return Partition(EVENTS, partition_of(event_key(account, contact_id), PARTITIONS))
