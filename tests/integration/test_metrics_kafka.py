"""How far behind a group is on Kafka's topics."""

from __future__ import annotations

from uuid import uuid5

from services.contracts.envelope import NAMESPACE
from services.runtime.gauges import Lag
from services.runtime.log import Message
from services.runtime.log.open import open_log
from services.runtime.log.progress import Progress
from services.runtime.metrics import Metrics
from services.runtime.store import Store
from tests.integration.metrics_rig import total
from tests.kafka import Kafka


async def test_lag_is_read_from_kafka_and_grows_old(store: Store, kafka: Kafka) -> None:
    metrics = Metrics()
    topic = f"lag-{uuid5(NAMESPACE, store.dsn)}"
    async with open_log(f"kafka://{kafka.bootstrap}", store) as log:
        await log.create_topics({topic: 2})
        lag = Lag(log, store, Progress("sync"), metrics)
        await lag.read("sync", (topic,))
        assert total(metrics, "lag", topic=topic) == 0
        messages = [Message(key=b"%d" % number, headers=(), value=b"{}") for number in range(5)]
        await log.publish(topic, messages)
        await lag.read("sync", (topic,))
        assert total(metrics, "lag", topic=topic) == 5
        await lag.read("sync", (topic,))
        assert total(metrics, "lag_seconds", topic=topic) > 0
