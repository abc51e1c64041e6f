"""What ingest is asked beside deliveries: alive, ready to take one, figures."""

from services.runtime.health import Health, Question, schema_check
from services.runtime.log import Log
from services.runtime.metrics import Metrics

__all__ = ["Probes", "schema_check"]


class Probes(Health):
    """`/livez`, `/readyz` and `/metrics` where deliveries are taken: ready if one would be taken now."""

    def __init__(self, log: Log, schema: Question, metrics: Metrics) -> None:
        super().__init__(metrics, {"log": log.ready, "schema": schema})
