"""The Stripe sandbox's idempotency keys, and the faults that make them necessary."""

import asyncio
import random
import socket
from typing import Any

import httpx2
import pytest
import stripe
import uvicorn

from services.connectors.stripe.sandbox import StripeSandbox, Where, serve
from services.connectors.stripe.sandbox.official import official

CREATE = Where("POST", "/v1/customers")


class Clock:
    def __init__(self) -> None:
        self.now = 1_790_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sandbox(clock: Clock) -> StripeSandbox:
    return StripeSandbox(clock=clock, rng=random.Random(7))


async def create(sandbox: StripeSandbox, key: str, name: str = "Ada", retries: int = 0) -> stripe.Customer:
    client = official(sandbox, retries=retries)
    return await client.v1.customers.create_async({"name": name}, {"idempotency_key": key})


async def post(sandbox: StripeSandbox, key: str, path: str = "/v1/customers", **form: str) -> httpx2.Response:
    headers = {"Authorization": f"Bearer {sandbox.api_key}", "Idempotency-Key": key}
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=sandbox.app)) as http:
        return await http.post(f"https://api.stripe.test{path}", data=form, headers=headers)


async def test_a_repeated_key_gives_the_first_result_with_a_fresh_date(sandbox: StripeSandbox, clock: Clock) -> None:
    first = await post(sandbox, "k1", name="Ada")
    clock.now += 86_399
    sandbox.dashboard.update(first.json()["id"], name="Countess")
    again = await post(sandbox, "k1", name="Ada")
    assert again.content == first.content
    assert again.headers["idempotent-replayed"] == "true"
    assert again.headers["original-request"] == first.headers["request-id"] != again.headers["request-id"]
    assert again.headers["date"] != first.headers["date"]
    assert "idempotent-replayed" not in first.headers
    assert len(sandbox.customers.made) == 1
    assert [each.outcome for each in sandbox.requests] == ["answered", "replayed"]
    assert len(sandbox.requests.writes("/v1/customers*")) == 1


async def test_a_key_is_forgotten_after_a_day(sandbox: StripeSandbox, clock: Clock) -> None:
    await create(sandbox, "k1")
    clock.now += 86_400
    await create(sandbox, "k1")
    assert len(sandbox.customers.made) == 2


async def test_a_key_with_other_parameters_or_another_path_is_an_idempotency_error(
    sandbox: StripeSandbox,
) -> None:
    made = await create(sandbox, "k1")
    with pytest.raises(stripe.IdempotencyError) as refused:
        await create(sandbox, "k1", "Bob")
    assert refused.value.http_status == 400
    other = await post(sandbox, "k1", f"/v1/customers/{made.id}", name="Ada")
    assert other.json()["error"]["type"] == "idempotency_error"
    assert (await post(sandbox, "k" * 256, name="Ada")).status_code == 400
    assert sandbox.customers[made.id]["name"] == "Ada"


async def test_a_key_whose_request_failed_validation_is_free(sandbox: StripeSandbox) -> None:
    assert (await post(sandbox, "k1", email="nonsense")).status_code == 400
    assert (await post(sandbox, "k1", email="ada@example.com")).status_code == 200


async def test_keys_of_get_and_delete_are_ignored(sandbox: StripeSandbox) -> None:
    client = official(sandbox)
    option: Any = {"idempotency_key": "k1"}
    made = await create(sandbox, "k1")
    assert (await client.v1.customers.retrieve_async(made.id, options=option)).id == made.id
    await client.v1.customers.delete_async(made.id, options=option)
    assert sandbox.events.all()[-1]["request"]["idempotency_key"] is None


async def test_a_key_in_flight_is_answered_409(sandbox: StripeSandbox) -> None:
    sandbox.faults.slow(0.2, CREATE)
    both = await asyncio.gather(*(post(sandbox, "k1", name="Ada") for _ in range(2)))
    done, refused = sorted(both, key=lambda answer: answer.status_code)
    assert (done.status_code, refused.status_code) == (200, 409)
    assert refused.json()["error"]["code"] == "idempotency_key_in_use"
    assert refused.headers["stripe-should-retry"] == "true"
    assert (await create(sandbox, "k1")).id == done.json()["id"]
    assert sandbox.customers.made == (done.json()["id"],)


async def test_an_answer_dropped_after_the_change_is_a_connection_error_and_the_change_stands(
    sandbox: StripeSandbox,
) -> None:
    fault = sandbox.faults.drop(CREATE)
    with pytest.raises(stripe.APIConnectionError):
        await create(sandbox, "k1")
    assert fault.hits == 1
    assert len(sandbox.customers.made) == 1
    assert (sandbox.requests[0].outcome, sandbox.requests[0].executed) == ("dropped", True)
    assert (await create(sandbox, "k1")).id == sandbox.customers.made[0]
    assert len(sandbox.customers.made) == 1


async def test_the_librarys_own_retry_meets_the_dropped_answer_once(sandbox: StripeSandbox) -> None:
    sandbox.faults.drop(CREATE)
    made = await create(sandbox, "k1", retries=1)
    assert sandbox.customers.made == (made.id,)


async def test_a_request_dropped_before_the_change_leaves_nothing(sandbox: StripeSandbox) -> None:
    sandbox.faults.drop(CREATE, executed=False)
    with pytest.raises(stripe.APIConnectionError):
        await create(sandbox, "k1")
    assert not sandbox.customers.made


async def test_over_real_http_a_dropped_answer_is_a_lost_connection(sandbox: StripeSandbox) -> None:
    headers = {"Authorization": f"Bearer {sandbox.api_key}"}
    async with serve(sandbox) as base, httpx2.AsyncClient(trust_env=False, headers=headers) as http:
        for executed in (True, False):
            sandbox.faults.drop(CREATE, executed=executed)
            with pytest.raises(httpx2.TransportError):
                await http.post(f"{base}/v1/customers", data={"name": "Ada"})
        assert (await http.get(f"{base}/v1/customers")).status_code == 200
    assert len(sandbox.customers) == 1


async def test_behind_a_server_of_its_own_a_dropped_answer_breaks_off(sandbox: StripeSandbox) -> None:
    sock = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(sandbox.app, lifespan="off", log_config=None))
    task = asyncio.create_task(server.serve(sockets=[sock]))
    headers = {"Authorization": f"Bearer {sandbox.api_key}"}
    sandbox.faults.drop(CREATE)
    try:
        async with httpx2.AsyncClient(trust_env=False, headers=headers) as http:
            with pytest.raises(httpx2.TransportError):
                await http.post(f"http://127.0.0.1:{sock.getsockname()[1]}/v1/customers", data={"name": "Ada"})
    finally:
        server.should_exit = True
        await task
        sock.close()
    assert len(sandbox.customers.made) == 1


async def test_a_late_answer_is_a_time_out_and_the_change_stands(sandbox: StripeSandbox) -> None:
    headers = {"Authorization": f"Bearer {sandbox.api_key}"}
    async with serve(sandbox) as base, httpx2.AsyncClient(trust_env=False, headers=headers) as http:
        sandbox.faults.late(0.5, CREATE)
        with pytest.raises(httpx2.TimeoutException):
            await http.post(f"{base}/v1/customers", data={"name": "Ada"}, timeout=0.1)
    assert len(sandbox.customers.made) == 1


@pytest.mark.parametrize(("stage", "made"), [("before", 1), ("during", 0), ("after", 1)])
async def test_a_500_is_replayed_unless_it_struck_before_the_execution(
    sandbox: StripeSandbox, stage: Any, made: int
) -> None:
    sandbox.faults.broken(CREATE, stage=stage)
    first = await post(sandbox, "k1", name="Ada")
    again = await post(sandbox, "k1", name="Ada")
    assert first.status_code == 500
    assert first.json()["error"]["type"] == "api_error"
    assert first.headers.get("stripe-should-retry") == (None if stage == "before" else "false")
    assert again.status_code == (200 if stage == "before" else 500)
    assert again.headers.get("idempotent-replayed") == (None if stage == "before" else "true")
    assert len(sandbox.customers.made) == made


async def test_429_comes_with_its_code_and_with_or_without_retry_after(sandbox: StripeSandbox) -> None:
    sandbox.faults.rate_limit(Where(times=2), retry_after=3)
    sandbox.faults.lock_timeout()
    with pytest.raises(stripe.RateLimitError) as refused:
        await create(sandbox, "k1")
    body: Any = refused.value.json_body
    assert body["error"]["code"] == "rate_limit"
    limited, locked, done = [await post(sandbox, "k1", name="Ada") for _ in range(3)]
    assert limited.headers["retry-after"] == "3"
    assert locked.json()["error"]["code"] == "lock_timeout"
    assert "retry-after" not in locked.headers
    assert locked.headers["stripe-should-retry"] == "true"
    assert done.status_code == 200


async def test_faults_strike_where_and_as_often_as_told(sandbox: StripeSandbox) -> None:
    fault = sandbox.faults.broken(Where("POST", "/v1/customers/*", times=2, skip=1), status=503)
    made = await create(sandbox, "k1")
    path = f"/v1/customers/{made.id}"
    statuses = [(await post(sandbox, f"u{at}", path, name=f"{at}")).status_code for at in range(4)]
    assert statuses == [200, 503, 503, 200]
    assert fault.hits == 2
    sandbox.faults.conflict(Where(times=None))
    assert (await post(sandbox, "c", path, name="x")).status_code == 409
    sandbox.faults.clear()
    assert (await post(sandbox, "c", path, name="x")).status_code == 200
    half = sandbox.faults.broken(Where(times=None, chance=0.5))
    for at in range(40):
        await post(sandbox, f"h{at}", path, name=f"{at}")
    assert 5 < half.hits < 35
