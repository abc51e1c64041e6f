"""`POST /hooks/{account}`: good deliveries, and how bodies arrive."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from services.contracts.envelope import event_key
from services.contracts.events import ContactChanged, ContactTouched
from services.runtime.store import Store
from tests.integration.hooks_rig import LIMIT, OLD_SECRET, Rig, call, event, headers, opened
from tests.integration.ingest_rig import records

Eventually = Callable[..., Awaitable[None]]


@pytest.fixture
async def rig(store: Store) -> AsyncIterator[Rig]:
    async with opened(store) as rig:
        yield rig


async def test_a_delivery_is_answered_with_its_events_in_the_log(rig: Rig) -> None:
    body = event(7)
    answer = await rig.deliver(body)
    assert (answer.status_code, answer.json()) == (200, {"received": 1})
    (found,) = await records(rig.store)
    assert (found.envelope.id, found.envelope.source, found.envelope.subject) == ("stripe:evt_7", "shop", "cus_7")
    assert found.key == event_key("shop", "cus_7")
    assert isinstance(found.message, ContactChanged)
    assert found.message.contact.fields["email"] == ("ada@example.org",)


async def test_p9_a_delivery_that_tells_only_of_a_contact_becomes_a_durable_touch(rig: Rig) -> None:
    body = event(8, data={"object": {"id": "cus_8", "object": "customer", "deleted": True}})
    assert (await rig.deliver(body)).json() == {"received": 1}
    (found,) = await records(rig.store)
    assert found.message == ContactTouched(account="shop", contact_id="cus_8", origin="webhook")


async def test_a_secret_that_is_being_rolled_out_of_use_still_counts(rig: Rig) -> None:
    assert (await rig.deliver(event(), secret=OLD_SECRET)).status_code == 200


async def test_p6_a_delivery_keeps_its_event_id_however_often_it_comes(rig: Rig) -> None:
    for _ in range(3):
        assert (await rig.deliver(event(5))).status_code == 200
    assert {found.envelope.id for found in await records(rig.store)} == {"stripe:evt_5"}


async def test_a_type_that_is_not_ours_is_received_and_counted(rig: Rig) -> None:
    answer = await rig.deliver(event(kind="invoice.paid"))
    assert (answer.status_code, answer.json()) == (200, {"received": 0})
    assert await records(rig.store) == []
    assert b'contactsync_deliveries_total{account="shop",outcome="ignored"} 1.0' in rig.metrics.exposition()


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", True),
        ("00-00000000000000000000000000000000-00f067aa0ba902b7-01", False),
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", False),
        ("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", False),
        ("anything", False),
    ],
)
async def test_only_a_valid_traceparent_travels_on(rig: Rig, given: str, kept: bool) -> None:
    body = event()
    await rig.http.post("/hooks/shop", content=body, headers=headers(body) | {"traceparent": given})
    (found,) = await records(rig.store)
    assert found.envelope.traceparent == (given if kept else None)


async def test_the_body_is_counted_while_it_arrives(rig: Rig) -> None:
    status, told, taken = await call(rig, [], headers(b""), endless=b"x" * 1000)
    assert (status, told["code"]) == (413, "size")
    assert taken == LIMIT // 1000 + 1


async def test_a_declared_length_over_the_limit_is_refused_before_anything_is_read(rig: Rig) -> None:
    given = headers(b"") | {"content-length": str(LIMIT + 1)}
    status, told, taken = await call(rig, [], given, endless=b"x")
    assert (status, told["code"], taken) == (413, "size", 0)


async def test_a_length_that_lies_does_not_open_the_limit(rig: Rig) -> None:
    status, told, _ = await call(rig, [], headers(b"") | {"content-length": "10"}, endless=b"x" * 1000)
    assert (status, told["code"]) == (413, "size")


@pytest.mark.parametrize("length", ["", "-1", "1e3", "0x10", "٣", "9" * 5000])
async def test_a_length_that_is_no_length_is_refused(rig: Rig, length: str) -> None:
    given = headers(b"") | {"content-length": length.encode().decode("latin-1")}
    status, told, taken = await call(rig, [], given, endless=b"x")
    assert (status, told["code"], taken) in {(400, "length", 0), (413, "size", 0)}


async def test_a_chunked_body_up_to_the_limit_is_taken(rig: Rig) -> None:
    body = event(padding="x" * (LIMIT - len(event(padding=""))))
    assert len(body) == LIMIT
    pieces = [body[start : start + 100] for start in range(0, LIMIT, 100)]
    status, told, _ = await call(rig, pieces, headers(body))
    assert (status, told) == (200, {"received": 1})


async def test_a_sender_who_leaves_mid_body_changes_nothing(rig: Rig) -> None:
    body = event()
    status, told, _ = await call(rig, [body[:20]], headers(body), leave=True)
    assert (status, told["code"]) == (400, "disconnected")
    assert await records(rig.store) == []


async def test_a_sender_who_stops_sending_is_let_go(rig: Rig) -> None:
    slow = Rig(rig.store, rig.log, seconds=0.05)
    body = event()
    status, told, _ = await call(slow, [body[:20]], headers(body), silent=True)
    assert (status, told["code"]) == (408, "slow")


async def test_bodies_that_would_fill_the_memory_are_put_off(rig: Rig) -> None:
    body = event()
    tight = Rig(rig.store, rig.log, room=len(body) - 1)
    status, told, _ = await call(tight, [body], headers(body))
    assert (status, told["code"]) == (503, "busy")
    small = event(padding="x")[: len(body) - 1]
    assert (await call(tight, [small], headers(small)))[0] == 400  # what was taken was given back


async def test_deliveries_beyond_what_the_log_confirms_in_time_are_put_off(rig: Rig) -> None:
    answer = await Rig(rig.store, rig.log, limit=0).deliver(event())
    assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (503, "busy", "5")


async def test_a_fault_in_an_apps_reader_tells_nothing_of_the_delivery(
    rig: Rig, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = await rig.deliver(b'{"ada@example.org": 1}', account="people")
    assert (answer.status_code, answer.json()["code"]) == (500, "bug")
    printed = capsys.readouterr()
    assert "delivery_failed" in printed.out
    assert "ada@example.org" not in printed.out + printed.err + answer.text


async def test_nothing_is_answered_before_the_log_has_it(rig: Rig, eventually: Eventually) -> None:
    assert (await rig.deliver(event(1))).status_code == 200  # everything is warm
    async with rig.store.transaction() as connection:
        await connection.execute("LOCK TABLE log.record IN ACCESS EXCLUSIVE MODE")
        waiting = asyncio.create_task(rig.deliver(event(2)))

        async def blocked() -> bool:
            waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'log.record'::regclass"
            return bool(await connection.fetchval(waiting))

        await eventually(blocked)
        assert not waiting.done()
        assert await connection.fetchval("SELECT count(*) FROM log.record") == 1
    answer = await waiting
    assert answer.status_code == 200
    assert {found.envelope.id for found in await records(rig.store)} == {"stripe:evt_1", "stripe:evt_2"}
