"""What aiokafka's errors mean: which pass by themselves, which a person has to see to."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Iterator
from typing import NoReturn

from aiokafka import errors as kafka

from services.runtime.log import LogUnavailableError
from services.runtime.log.errors import LogRefusedError


class FencedInstanceIdError(kafka.BrokerResponseError):  # type: ignore[misc]  # aiokafka has no types
    """Another process has joined the group under this one's lasting name."""

    errno = 82
    message = "FENCED_INSTANCE_ID"


# aiokafka calls every code it doesn't know UnknownError (https://github.com/aio-libs/aiokafka/issues/1186).
kafka.kafka_errors.setdefault(FencedInstanceIdError.errno, FencedInstanceIdError)

REFUSED = (
    kafka.AuthenticationFailedError,
    kafka.AuthenticationMethodNotSupported,
    kafka.SaslAuthenticationFailed,
    kafka.UnsupportedSaslMechanismError,
    kafka.IllegalSaslStateError,
    kafka.SecurityDisabled,
    kafka.TopicAuthorizationFailedError,
    kafka.GroupAuthorizationFailedError,
    kafka.ClusterAuthorizationFailedError,
    kafka.TransactionalIdAuthorizationFailed,
    ssl.SSLError,
)
"""A person has to change credentials, certificates or permissions."""
_PASSING = (
    kafka.KafkaTimeoutError,
    kafka.KafkaConnectionError,
    kafka.BrokerNotAvailableError,
    kafka.ReplicaNotAvailableError,
    kafka.CommitFailedError,
    kafka.IllegalGenerationError,
    kafka.UnknownMemberIdError,
    kafka.RebalanceInProgressError,
    kafka.MemberIdRequired,
    kafka.ProducerClosed,
    kafka.ProducerFenced,
    kafka.OutOfOrderSequenceNumber,
    kafka.DuplicateSequenceNumber,
    kafka.InvalidProducerEpoch,
    kafka.InvalidProducerIdMapping,
    kafka.UnknownProducerId,
    kafka.StaleLeaderEpochCodeError,
    kafka.StaleControllerEpochError,
    kafka.CorruptRecordException,
)
"""They pass, though aiokafka doesn't call them retriable: for a whole publication or membership they are."""


def passes(error: BaseException) -> bool:
    """Whether the same may succeed later, without anybody's doing. An unknown topic, retriable or not, doesn't."""
    if isinstance(error, (*REFUSED, kafka.UnknownTopicOrPartitionError)):
        return False
    if isinstance(error, _PASSING):
        return True
    return isinstance(error, kafka.KafkaError) and bool(error.retriable)


def refusal(where: str, error: BaseException) -> LogRefusedError:
    """Return the sentence about a refusal by the cluster at `where`."""
    match error:
        case ssl.SSLCertVerificationError():
            what = f"its certificate isn't trusted ({error.verify_message})"
            remedy = "Is CONTACTSYNC_KAFKA_CA_FILE the authority that signed it, and the address the one it names?"
        case ssl.SSLError():
            what = f"no encrypted connection came about ({error.reason or type(error).__name__})"
            remedy = (
                "See CONTACTSYNC_KAFKA_SECURITY, CONTACTSYNC_KAFKA_CERTIFICATE_FILE and CONTACTSYNC_KAFKA_KEY_FILE."
            )
        case kafka.UnsupportedSaslMechanismError():
            what, remedy = "it doesn't take this way of logging in", "See CONTACTSYNC_KAFKA_MECHANISM."
        case kafka.TopicAuthorizationFailedError():
            what = "this user may not read or write one of the topics"
            remedy = "It needs Read, Write, Describe and DescribeConfigs on the topics contacts.*."
        case kafka.GroupAuthorizationFailedError():
            what, remedy = "this user may not join the consumer group", "It needs Read and Describe on its groups."
        case kafka.ClusterAuthorizationFailedError():
            what = "this user may not do that"
            remedy = "It needs IdempotentWrite, and for `contactsync migrate` Create, on the cluster."
        case _:
            what = "it doesn't accept this user's name and password"
            remedy = "See CONTACTSYNC_KAFKA_USERNAME, CONTACTSYNC_KAFKA_PASSWORD and CONTACTSYNC_KAFKA_MECHANISM."
    return LogRefusedError(f"Kafka at {where} refuses: {what}. {remedy}")


def raise_as_ours(where: str, error: BaseException) -> NoReturn:
    """Raise what `error`, met at the cluster `where`, is to a caller of the port."""
    if isinstance(error, REFUSED):
        raise refusal(where, error) from error
    if isinstance(error, (TimeoutError, OSError)) or passes(error):
        raise LogUnavailableError(f"Kafka at {where} doesn't answer ({type(error).__name__}).") from error
    raise error


@contextlib.contextmanager
def ours(where: str) -> Iterator[None]:
    """Let no error of aiokafka's out that the port has a name for."""
    try:
        yield
    except (kafka.KafkaError, TimeoutError, OSError) as error:
        raise_as_ours(where, error)
