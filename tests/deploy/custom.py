"""Operators' own kinds, as JSON schemas: as far as we use them, written from their documentation.

What isn't named here is refused: a field that we begin to use is looked up first, and then added. Sources:

- Strimzi: https://strimzi.io/docs/operators/latest/configuring (KafkaTopicSpec, KafkaUserSpec, AclRule)
- CloudNativePG: https://cloudnative-pg.io/documentation/current/cloudnative-pg.v1/ (ClusterSpec)
- KEDA: https://keda.sh/docs/latest/reference/scaledobject-spec/, …/scalers/apache-kafka/, …/concepts/authentication/
- Prometheus operator: https://prometheus-operator.dev/docs/api-reference/api/ (PrometheusRule, ServiceMonitor)
- External Secrets: https://external-secrets.io/latest/api/externalsecret/
- Gateway API: https://gateway-api.sigs.k8s.io/reference/spec/ (HTTPRoute)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

Schema: TypeAlias = dict[str, Any]

NAME: Schema = {"type": "string", "pattern": r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", "maxLength": 253}
TEXT: Schema = {"type": "string", "minLength": 1}
COUNT: Schema = {"type": "integer", "minimum": 1}
WHOLE: Schema = {"type": "integer", "minimum": 0}
PORT: Schema = {"type": "integer", "minimum": 1, "maximum": 65_535}
TEXTS: Schema = {"type": "object", "additionalProperties": {"type": "string"}}
QUANTITY: Schema = {"type": "string", "pattern": r"^\d+(\.\d+)?(m|[kMGT]|[KMGT]i)?$"}
# Prometheus' durations; Go's, which the others have, are alike as far as we go.
DURATION: Schema = {"type": "string", "pattern": r"^(\d+(ms|[smhdwy]))+$"}
WORD: Schema = {"type": "string", "enum": ["true", "false"]}
LABELS: Schema = TEXTS


def one_of(*values: str) -> Schema:
    return {"type": "string", "enum": list(values)}


def fields(*, optional: Mapping[str, Schema] | None = None, **needed: Schema) -> Schema:
    """An object with these fields and no others."""
    return {
        "type": "object",
        "properties": {**needed, **(optional or {})},
        "required": list(needed),
        "additionalProperties": False,
    }


def some(item: Schema, least: int = 1, most: int | None = None) -> Schema:
    return {"type": "array", "items": item, "minItems": least, **({} if most is None else {"maxItems": most})}


_TOPIC = fields(
    topicName={"type": "string", "pattern": r"^[a-zA-Z0-9._-]{1,249}$"},
    partitions=COUNT,
    replicas={"type": "integer", "minimum": 1, "maximum": 32_767},
    config=fields(
        optional={
            "cleanup.policy": one_of("delete", "compact", "compact,delete"),
            "retention.ms": {"type": "integer", "minimum": -1},
            "retention.bytes": {"type": "integer", "minimum": -1},
            "max.message.bytes": WHOLE,
            "message.timestamp.type": one_of("CreateTime", "LogAppendTime"),
            "min.insync.replicas": COUNT,
        }
    ),
)
_ACL = fields(
    resource=fields(
        type=one_of("topic", "group", "cluster", "transactionalId"), name=TEXT, patternType=one_of("literal", "prefix")
    ),
    operations=some(
        one_of(
            *("Read", "Write", "Create", "Delete", "Alter", "Describe", "ClusterAction", "AlterConfigs"),
            *("DescribeConfigs", "IdempotentWrite", "All"),
        )
    ),
    optional={"type": one_of("allow", "deny"), "host": TEXT},
)
_USER = fields(
    authentication=fields(
        type=one_of("scram-sha-512"),
        optional={"password": fields(valueFrom=fields(secretKeyRef=fields(name=NAME, key=TEXT)))},
    ),
    authorization=fields(type=one_of("simple"), acls=some(_ACL)),
)
_CLUSTER = fields(
    instances=COUNT,
    imageName={"type": "string", "pattern": r"^[^:@]+:\d+(\.\d+)*[^:@]*(@sha256:[0-9a-f]{64})?$"},
    bootstrap=fields(initdb=fields(database=NAME, owner=NAME)),
    postgresql=fields(
        synchronous=fields(method=one_of("any", "first"), number=COUNT, dataDurability=one_of("required", "preferred")),
        # PostgreSQL's own, all of them texts.
        parameters=TEXTS,
    ),
    storage=fields(size=QUANTITY),
    walStorage=fields(size=QUANTITY),
    resources=fields(requests=fields(cpu=QUANTITY, memory=QUANTITY), limits=fields(cpu=QUANTITY, memory=QUANTITY)),
    affinity=fields(topologyKey=TEXT),
)
_SCALING = fields(
    stabilizationWindowSeconds={"type": "integer", "minimum": 0, "maximum": 3600},
    optional={
        "policies": some(
            fields(
                type=one_of("Pods", "Percent"),
                value=COUNT,
                periodSeconds={"type": "integer", "minimum": 1, "maximum": 1800},
            )
        )
    },
)
_KAFKA_TRIGGER = {
    **fields(
        bootstrapServers={"type": "string", "pattern": r"^[^,:/]+:\d+(,[^,:/]+:\d+)*$"},
        consumerGroup=TEXT,
        topic=TEXT,
        lagThreshold={"type": "string", "pattern": r"^[1-9]\d*$"},
        optional={
            "offsetResetPolicy": one_of("latest", "earliest"),
            "sasl": one_of("none", "plaintext", "scram_sha256", "scram_sha512", "oauthbearer", "gssapi"),
            "tls": one_of("enable", "disable"),
            "allowIdleConsumers": WORD,
            "limitToPartitionsWithLag": WORD,
            "excludePersistentLag": WORD,
        },
    ),
    # The scaler refuses both: who scales by partitions with lag has no idle ones.
    "not": {
        "properties": {"allowIdleConsumers": {"const": "true"}, "limitToPartitionsWithLag": {"const": "true"}},
        "required": ["allowIdleConsumers", "limitToPartitionsWithLag"],
    },
}
_SCALED = fields(
    scaleTargetRef=fields(apiVersion=one_of("apps/v1"), kind=one_of("Deployment", "StatefulSet"), name=NAME),
    minReplicaCount=WHOLE,
    maxReplicaCount=COUNT,
    pollingInterval=COUNT,
    cooldownPeriod=WHOLE,
    advanced=fields(
        horizontalPodAutoscalerConfig=fields(
            behavior=fields(scaleDown=_SCALING, optional={"scaleUp": _SCALING}),
        )
    ),
    triggers=some(fields(type=one_of("kafka"), metadata=_KAFKA_TRIGGER, authenticationRef=fields(name=NAME))),
)
_TRIGGER_ACCESS = fields(
    secretTargetRef=some(
        # What the Kafka scaler takes from there.
        fields(parameter=one_of("sasl", "username", "password", "tls", "ca", "cert", "key"), name=NAME, key=TEXT)
    )
)
_RULES = fields(
    groups=some(
        fields(
            name=TEXT,
            rules=some(
                fields(
                    alert={"type": "string", "pattern": r"^[A-Z]\w+$"},
                    expr=TEXT,
                    labels=LABELS,
                    annotations=TEXTS,
                    optional={"for": DURATION},
                )
            ),
            optional={"interval": DURATION},
        )
    )
)
_MONITOR = fields(
    selector=fields(matchLabels=LABELS),
    endpoints=some(
        fields(
            port=NAME,
            optional={
                "path": {"type": "string", "pattern": "^/"},
                "interval": DURATION,
                "scheme": one_of("http", "https"),
            },
        )
    ),
)
_EXTERNAL_SECRET = fields(
    refreshInterval=DURATION,
    secretStoreRef=fields(kind=one_of("SecretStore", "ClusterSecretStore"), name=NAME),
    target=fields(name=NAME, creationPolicy=one_of("Owner", "Orphan", "Merge", "None")),
    data=some(
        fields(
            secretKey={"type": "string", "pattern": r"^[-._a-zA-Z0-9]{1,253}$"},
            remoteRef=fields(key=TEXT, optional={"property": TEXT, "version": TEXT}),
        )
    ),
)
_ROUTE = fields(
    parentRefs=some(fields(name=NAME, optional={"namespace": NAME, "sectionName": NAME}), most=32),
    hostnames=some({"type": "string", "pattern": r"^(\*\.)?[a-z0-9-]+(\.[a-z0-9-]+)+$"}, most=16),
    rules=some(
        fields(
            matches=some(
                fields(
                    path=fields(
                        type=one_of("Exact", "PathPrefix", "RegularExpression"),
                        value={"type": "string", "pattern": "^/", "maxLength": 1024},
                    ),
                    optional={"method": one_of("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH")},
                ),
                most=64,
            ),
            backendRefs=some(fields(name=NAME, port=PORT, optional={"weight": WHOLE}), most=16),
        ),
        most=16,
    ),
)

_SPECS: Mapping[tuple[str, str], Schema] = {
    ("kafka.strimzi.io/v1", "KafkaTopic"): _TOPIC,
    ("kafka.strimzi.io/v1", "KafkaUser"): _USER,
    ("postgresql.cnpg.io/v1", "Cluster"): _CLUSTER,
    ("keda.sh/v1alpha1", "ScaledObject"): _SCALED,
    ("keda.sh/v1alpha1", "TriggerAuthentication"): _TRIGGER_ACCESS,
    ("monitoring.coreos.com/v1", "PrometheusRule"): _RULES,
    ("monitoring.coreos.com/v1", "ServiceMonitor"): _MONITOR,
    ("external-secrets.io/v1", "ExternalSecret"): _EXTERNAL_SECRET,
    ("gateway.networking.k8s.io/v1", "HTTPRoute"): _ROUTE,
}
# Who is looked for by labels: without them nobody takes the object up.
_LABELLED = {"KafkaTopic": ["strimzi.io/cluster"], "KafkaUser": ["strimzi.io/cluster"]}

SCHEMAS: Mapping[tuple[str, str], Schema] = {
    (version, kind): fields(
        apiVersion={"const": version},
        kind={"const": kind},
        metadata=fields(
            name=NAME,
            namespace=NAME,
            optional={"labels": {**LABELS, "required": _LABELLED.get(kind, [])}, "annotations": TEXTS},
        ),
        spec=spec,
    )
    for (version, kind), spec in _SPECS.items()
}
"""By apiVersion and kind."""
