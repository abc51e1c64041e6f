"""Which partition a key belongs to: Kafka's own rule, so that a move to Kafka keeps every key's order."""

_MASK = 0xFFFFFFFF
_M = 0x5BD1E995
_SEED = 0x9747B28C


def murmur2(data: bytes) -> int:
    """Return the 32-bit murmur2 hash (unsigned) with the seed that Kafka's clients use.

    Kafka's `Utils.murmur2`, in clients/src/main/java/org/apache/kafka/common/utils/Utils.java of
    https://github.com/apache/kafka.
    """
    h = _SEED ^ len(data)
    whole = len(data) & ~3
    for i in range(0, whole, 4):
        k = int.from_bytes(data[i : i + 4], "little") * _M & _MASK
        h = (h * _M & _MASK) ^ ((k ^ k >> 24) * _M & _MASK)
    if tail := data[whole:]:
        h = (h ^ int.from_bytes(tail, "little")) * _M & _MASK
    h = (h ^ h >> 13) * _M & _MASK
    return h ^ h >> 15


def partition_of(key: bytes, partitions: int) -> int:
    """Return the number of the partition, among `partitions`, that messages with `key` go to."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions
