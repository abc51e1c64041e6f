"""Earlier values come from the log: the embedded one and Kafka, from a time on, whatever else it holds."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta

from services.contracts.commands import Aim, Update, Version
from services.contracts.contact import Contact
from services.contracts.envelope import derived, headers, seal
from services.contracts.receipts import Observation, Receipt, Refused, Written
from services.runtime.log import RECEIPTS, Message, commands_topic
from services.runtime.log.errors import TopicSettingsError
from services.runtime.log.open import ManagedLog, open_log
from services.runtime.store import Store
from services.sync.revert.past import sent, shown
from tests.core.bench import order
from tests.integration.sync_messages import message, raw
from tests.kafka import Kafka

APP = "revert_app"
COUNT = 5_000
"""More than are read at once, and more than are looked through without asking for the time."""


def aim(number: int) -> Aim:
    return Aim(
        link=derived("link", number),
        side="right",
        version=Version(1, number),
        connection="pair",
        config_version=1,
        account="office",
    )


def update(number: int) -> Update:
    before, after = (f"before {number}",), (f"after {number}",)
    return Update(aim=aim(number), contact_id=f"c{number}", fields={"note": after}, expected={"note": before})


def written(number: int) -> Receipt:
    contact = Contact(fields={"note": (f"AFTER {number}",)})
    seen = Observation(contact_id=f"c{number}", order=order(number), contact=contact)
    return Receipt(aim=aim(number), outcome=Written(contact_id=f"c{number}", seen=seen))


def posted(number: int) -> Message:
    command = update(number)
    envelope = seal(command, id=derived("command", number), source="sync", subject="", time=datetime.now(UTC))
    return Message(key=b"%d" % (number % 7), headers=headers(envelope), value=envelope.data)


async def assert_found(log: ManagedLog) -> None:
    topic = commands_topic(APP)
    await log.create_topics({topic: 2})
    with contextlib.suppress(TopicSettingsError):  # others' tests use the topic, too
        await log.create_topics({RECEIPTS: 2})
    began = datetime.now(UTC)
    await log.publish(topic, [raw("command.tomorrow", b"{}"), *(posted(number) for number in range(COUNT))])
    refused = Receipt(aim=aim(7), outcome=Refused(reason="no"))
    await log.publish(RECEIPTS, [message(written(3)), message(refused), message(written(COUNT - 1))])
    wanted = [(aim(number).link, aim(number).side, aim(number).version) for number in (3, 7, COUNT - 1, COUNT)]
    commands = await sent(log, [APP], began, wanted)
    stood = [command.expected["note"] for command in commands.values() if isinstance(command, Update)]
    assert sorted(stood) == [("before 3",), (f"before {COUNT - 1}",), ("before 7",)]
    assert wanted[3] not in commands
    answers = await shown(log, began, wanted)
    assert {key: contact.fields["note"] for key, contact in answers.items()} == {
        wanted[0]: ("AFTER 3",),
        wanted[2]: (f"AFTER {COUNT - 1}",),
    }
    # What is older than asked for isn't read through: there is little left of it at the end.
    assert set(await sent(log, [APP], began + timedelta(days=1), wanted)) <= {wanted[2]}


async def test_g6_the_embedded_log_tells_what_stood_there(store: Store) -> None:
    async with open_log("postgres:", store) as log:
        await assert_found(log)


async def test_g6_kafka_tells_what_stood_there(store: Store, kafka: Kafka) -> None:
    async with open_log(f"kafka://{kafka.bootstrap}", store) as log:
        await assert_found(log)
