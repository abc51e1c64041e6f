"""Three of Kafka's requests in versions that aiokafka doesn't speak, for what only those versions say.

Metadata since version 10 names each topic's own id (KIP-516), DescribeGroups since version 4 each member's lasting
name, LeaveGroup since version 3 that of the member that leaves (KIP-345). Field by field as in MetadataRequest.json,
DescribeGroupsRequest.json, LeaveGroupRequest.json and their responses of
https://github.com/apache/kafka/tree/4.1/clients/src/main/resources/common/message.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from io import BytesIO

from aiokafka.protocol.abstract import AbstractType
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    Array,
    Boolean,
    Bytes,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    String,
    TaggedFields,
)

_UUID_BYTES = 16


class Uuid(AbstractType):  # type: ignore[misc]  # aiokafka has no types
    """16 bytes; as text, base64 in the alphabet for URLs, the way Kafka's own tools print it."""

    @classmethod
    def encode(cls, value: str | None) -> bytes:
        """Return the bytes; zeroes for None."""
        return base64.urlsafe_b64decode(f"{value}==") if value else bytes(_UUID_BYTES)

    @classmethod
    def decode(cls, data: BytesIO) -> str | None:
        """Return the text; None for zeroes."""
        raw = data.read(_UUID_BYTES)
        return base64.urlsafe_b64encode(raw).decode().rstrip("=") if any(raw) else None


class MetadataResponseV12(Response):  # type: ignore[misc]  # aiokafka has no types
    """What brokers, topics and leaders there are."""

    API_KEY = 3
    API_VERSION = 12
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32),
                ("host", CompactString()),
                ("port", Int32),
                ("rack", CompactString()),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_id", CompactString()),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("name", CompactString()),
                ("topic_id", Uuid),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition_index", Int32),
                        ("leader_id", Int32),
                        ("leader_epoch", Int32),
                        ("replica_nodes", CompactArray(Int32)),
                        ("isr_nodes", CompactArray(Int32)),
                        ("offline_replicas", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("topic_authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class MetadataRequestV12(RequestStruct):  # type: ignore[misc]  # aiokafka has no types
    """Its request; no topic at all means brokers only."""

    API_KEY = 3
    API_VERSION = 12
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = MetadataResponseV12
    SCHEMA = Schema(
        ("topics", CompactArray(("topic_id", Uuid), ("name", CompactString()), ("tags", TaggedFields))),
        ("allow_auto_topic_creation", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class TopicsRequest(Request[MetadataRequestV12]):  # type: ignore[misc]  # aiokafka has no types
    """Ask about topics, creating none."""

    API_KEY = 3

    def __init__(self, topics: Sequence[str]) -> None:
        self._topics = topics

    def build(self, request_struct_class: type[MetadataRequestV12]) -> MetadataRequestV12:
        """Return the message."""
        return request_struct_class([(None, name, {}) for name in self._topics], False, False, {})


class DescribeGroupsResponseV4(Response):  # type: ignore[misc]  # aiokafka has no types
    """What members groups have."""

    API_KEY = 15
    API_VERSION = 4
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "groups",
            Array(
                ("error_code", Int16),
                ("group_id", String("utf-8")),
                ("group_state", String("utf-8")),
                ("protocol_type", String("utf-8")),
                ("protocol_data", String("utf-8")),
                (
                    "members",
                    Array(
                        ("member_id", String("utf-8")),
                        ("group_instance_id", String("utf-8")),
                        ("client_id", String("utf-8")),
                        ("client_host", String("utf-8")),
                        ("member_metadata", Bytes),
                        ("member_assignment", Bytes),
                    ),
                ),
                ("authorized_operations", Int32),
            ),
        ),
    )


class DescribeGroupsRequestV4(RequestStruct):  # type: ignore[misc]  # aiokafka has no types
    """Its request."""

    API_KEY = 15
    API_VERSION = 4
    RESPONSE_TYPE = DescribeGroupsResponseV4
    SCHEMA = Schema(("groups", Array(String("utf-8"))), ("include_authorized_operations", Boolean))


class GroupRequest(Request[DescribeGroupsRequestV4]):  # type: ignore[misc]  # aiokafka has no types
    """Ask about one group; to be sent to its coordinator."""

    API_KEY = 15

    def __init__(self, group: str) -> None:
        self._group = group

    def build(self, request_struct_class: type[DescribeGroupsRequestV4]) -> DescribeGroupsRequestV4:
        """Return the message."""
        return request_struct_class([self._group], False)


class LeaveGroupResponseV3(Response):  # type: ignore[misc]  # aiokafka has no types
    """Whether each member has left."""

    API_KEY = 13
    API_VERSION = 3
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("error_code", Int16),
        (
            "members",
            Array(
                ("member_id", String("utf-8")),
                ("group_instance_id", String("utf-8")),
                ("error_code", Int16),
            ),
        ),
    )


class LeaveGroupRequestV3(RequestStruct):  # type: ignore[misc]  # aiokafka has no types
    """Its request."""

    API_KEY = 13
    API_VERSION = 3
    RESPONSE_TYPE = LeaveGroupResponseV3
    SCHEMA = Schema(
        ("group_id", String("utf-8")),
        ("members", Array(("member_id", String("utf-8")), ("group_instance_id", String("utf-8")))),
    )


class LeaveRequest(Request[LeaveGroupRequestV3]):  # type: ignore[misc]  # aiokafka has no types
    """Have one member leave for good, with its lasting name if it has one; to be sent to the group's coordinator."""

    API_KEY = 13

    def __init__(self, group: str, member: str, name: str | None) -> None:
        self._group = group
        self._member = (member, name)

    def build(self, request_struct_class: type[LeaveGroupRequestV3]) -> LeaveGroupRequestV3:
        """Return the message."""
        return request_struct_class(self._group, [self._member])
