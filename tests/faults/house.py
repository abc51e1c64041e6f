"""Everything a run needs: PostgreSQL, a broker, the apps' accounts, proxies between them, and the installation."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from urllib.parse import parse_qs, urlsplit

import httpx2

from services.connectors.carddav.sandbox import CarddavSandbox
from services.connectors.google_contacts.sandbox import GoogleSandbox, Limits
from services.connectors.quickbooks.sandbox import QuickBooksSandbox
from services.connectors.served import Served, serve
from services.connectors.stripe.sandbox import Rate, StripeSandbox
from services.demo.kafka import Cluster, broker_cluster
from services.runtime.log.open import ManagedLog, open_log
from services.runtime.store import Store
from services.runtime.store.embedded import EmbeddedPostgres
from tests.end_to_end.processes_house import RETRIES, SESSION, Front, _free_ports
from tests.faults.accounts import Account, Books, Office, Shop
from tests.faults.book import Book
from tests.faults.proxy import Proxy, Streams
from tests.faults.roles import Roles
from tests.faults.schedule import Pair

PROOF = 30.0
"""Seconds after which an app that hasn't shown a create hasn't made it; minutes in reality."""
MOST_WRITES = 30
"""In ten minutes to a contact, before it counts as a loop: people are busier here than anywhere."""
POSTGRES = {"max_connections": "200"}
"""What differs from the settings that the product runs it with, which write through to the disk: how many processes."""
PROXIED = "-1"
"""The processes whose database is behind the proxy: the second of each role."""
WATCH = """
CREATE SCHEMA faults;
CREATE TABLE faults.owner (tab text, grp text, topic text, partition int, who text,
    PRIMARY KEY (tab, grp, topic, partition));
CREATE TABLE faults.stale (at timestamptz DEFAULT clock_timestamp(), tab text, grp text, topic text, partition int,
    owner text, who text, before bigint, after bigint);
CREATE FUNCTION faults.watch() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    me text := current_setting('application_name');
    theirs text;
BEGIN
    IF TG_OP = 'INSERT' OR NEW.epoch <> OLD.epoch THEN
        INSERT INTO faults.owner VALUES (TG_TABLE_SCHEMA, NEW.grp, NEW.topic, NEW.partition, me)
        ON CONFLICT (tab, grp, topic, partition) DO UPDATE SET who = me;
        RETURN NEW;
    END IF;
    SELECT who INTO theirs FROM faults.owner
     WHERE tab = TG_TABLE_SCHEMA AND grp = NEW.grp AND topic = NEW.topic AND partition = NEW.partition;
    IF theirs IS DISTINCT FROM me OR NEW.next_offset <= OLD.next_offset THEN
        INSERT INTO faults.stale (tab, grp, topic, partition, owner, who, before, after)
        VALUES (TG_TABLE_SCHEMA, NEW.grp, NEW.topic, NEW.partition, theirs, me, OLD.next_offset, NEW.next_offset);
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER watch AFTER INSERT OR UPDATE ON sync.progress FOR EACH ROW EXECUTE FUNCTION faults.watch();
CREATE TRIGGER watch AFTER INSERT OR UPDATE ON connectors.progress FOR EACH ROW EXECUTE FUNCTION faults.watch();
"""
"""Whoever moves a partition's progress without being the last who claimed it commits what is stale."""


@dataclass
class House:
    """What stands while a run lasts."""

    folder: Path
    postgres: EmbeddedPostgres
    cluster: Cluster
    roles: Roles
    proxies: Mapping[str, Proxy]
    ports: list[int]
    pairs: list[tuple[Account, Account]] = field(default_factory=list)
    """Each connection's accounts, named l0, r0, l1, …"""
    secrets: dict[str, str] = field(default_factory=dict)
    """The credentials in force, by account."""
    bases: dict[str, str] = field(default_factory=dict)
    poll: float = 5.0

    store: Store = field(init=False)
    log: ManagedLog = field(init=False)

    @property
    def accounts(self) -> dict[str, Account]:
        """All of them by name."""
        return {account.name: account for pair in self.pairs for account in pair}

    @property
    def shops(self) -> list[Shop]:
        """The Stripe accounts."""
        return [each for each in self.accounts.values() if isinstance(each, Shop)]

    async def apply(self) -> None:
        """Tell the installation the accounts and connections as they are now."""
        file = self.folder / "connections.yaml"
        file.write_text(self._file())
        await self.roles.command("apply", str(file))

    def _file(self) -> str:
        lines = ["accounts:"]
        lines += [f"  {name}: {{{self._account(account)}}}" for name, account in self.accounts.items()]
        lines += ["connections:"]
        for at, (left, right) in enumerate(self.pairs):
            pair = f"left: {left.name}, right: {right.name}"
            # QuickBooks has no tags, but tells of deletions; Stripe takes tags.
            options = f"sync_deletions: right_to_left, most_writes: {MOST_WRITES}"
            lines.append(f"  c{at}: {{{pair}, options: {{{options}}}}}")
        return "\n".join([*lines, ""])

    def _account(self, account: Account) -> str:
        name, base, secret = account.name, self.bases[account.name], self.secrets[account.name]
        poll = f"poll_seconds: {self.poll:g}"
        match account:
            case Shop():
                return f'app: stripe, api_base: "{base}", api_key: {secret}, webhook_secrets: [whsec_{name}], {poll}'
            case Office():
                oauth = account.sandbox.oauth
                client = f"client_id: {oauth.client_id}, client_secret: {oauth.client_secret}"
                where = f'api_base: "{base}", token_url: "{base}/token", certificates_url: "{base}/certs"'
                return f"app: google_contacts, {where}, {client}, refresh_token: {secret}, {poll}"
            case Books():
                oauth_ = account.sandbox.oauth
                client = f"client_id: {oauth_.client_id}, client_secret: {oauth_.client_secret}"
                where = f'api_base: "{base}", token_url: "{base}/token", realm_id: "{account.sandbox.realm}"'
                hooks = f"webhook_secrets: [{account.sandbox.webhooks.token}]"
                return f"app: quickbooks, {where}, {client}, refresh_token: {secret}, {hooks}, {poll}"
            case Book():
                login = f'username: {account.sandbox.username}, password: "{secret}"'
                return f'app: carddav, url: "{base}", {login}, poll_seconds: 1'
            case _:
                raise TypeError(account)


@contextlib.asynccontextmanager
async def house(
    folder: Path,
    pairs: tuple[Pair, ...],
    *,
    syncs: int = 2,
    ingests: int = 2,
    connectors: int = 2,
    skews: tuple[int, ...] = (0,),
    visible: float = 0.0,
    poll: float = 5.0,
    seed: int = 0,
) -> AsyncIterator[House]:
    """Everything but the roles' processes, which `house.roles.kept()` runs; nobody is in the accounts yet.

    `visible`: seconds until Google's lists show a change. `poll`: seconds between two questions for changes.
    """
    async with contextlib.AsyncExitStack() as stack:
        postgres = await stack.enter_async_context(EmbeddedPostgres(folder / "postgres", settings=POSTGRES))
        proxies: dict[str, Proxy] = {}

        async def proxy(name: str, made: Proxy) -> Proxy:
            proxies[name] = await stack.enter_async_context(made.listening())
            return made

        await proxy("postgres", Proxy(lambda: _to_postgres(postgres)))
        broker = await proxy("kafka", Proxy(lambda: _to_broker(folder / "kafka")))
        advertised = {"advertised.listeners": f"PLAINTEXT://127.0.0.1:{broker.port}"}
        cluster = await stack.enter_async_context(broker_cluster(folder / "kafka", settings=advertised))
        ports = _free_ports(ingests)
        settings = {
            "CONTACTSYNC_STORE_URL": postgres.dsn,
            "CONTACTSYNC_LOG_URL": f"kafka://127.0.0.1:{broker.port}",
            "CONTACTSYNC_KAFKA_SESSION_SECONDS": str(SESSION),
        }
        roles = Roles(folder / "processes", settings, skews, PROOF)
        made = House(folder, postgres, cluster, roles, proxies, ports, poll=poll)
        for role, count in (("sync", syncs), ("connectors", connectors), ("ingest", ingests)):
            for at in range(count):
                behind = f"postgresql://postgres@127.0.0.1:{proxies['postgres'].port}/contactsync?sslmode=disable"
                named = {"CONTACTSYNC_STORE_URL": behind} if f"-{at}" == PROXIED else {}
                named |= {"CONTACTSYNC_LISTEN": f"127.0.0.1:{ports[at]}"} if role == "ingest" else {}
                apps = _apps(at, count) if role == "connectors" else ()
                roles.add(f"{role}-{at}", role, *apps, **named).spare = role == "connectors" and at > 1
        await _open_accounts(stack, made, pairs, visible, seed, proxies)
        await roles.command("migrate")
        made.store = await stack.enter_async_context(Store.open(postgres.dsn, max_size=4, name="faults"))
        await made.store.execute(WATCH)
        await made.apply()
        made.log = await stack.enter_async_context(open_log(settings["CONTACTSYNC_LOG_URL"], made.store))
        yield made


def _apps(at: int, count: int) -> tuple[str, ...]:
    """What a process of connectors works for: whoever comes first takes all accounts, so the work is shared by apps.

    The first two share them; any other is there for what they give up.
    """
    if count == 1 or at > 1:
        return ()
    apps = ("stripe",) if at == 0 else ("google_contacts", "carddav", "quickbooks")
    return tuple(argument for app in apps for argument in ("--app", app))


async def _open_accounts(
    stack: contextlib.AsyncExitStack,
    made: House,
    pairs: tuple[Pair, ...],
    visible: float,
    seed: int,
    proxies: dict[str, Proxy],
) -> None:
    front = Front(made.ports)
    stack.push_async_callback(front.aclose)
    http = await stack.enter_async_context(
        httpx2.AsyncClient(auth=(CarddavSandbox.username, CarddavSandbox.password), timeout=20, trust_env=False)
    )

    async def at_proxy(name: str, url: str, watch: Book | None = None) -> str:
        parts = urlsplit(url)
        port = parts.port
        assert port is not None
        made_ = Proxy(lambda: asyncio.open_connection("127.0.0.1", port), watch.heard if watch else None)
        # The first account of each kind is the one whose wire is tampered with; every book needs its watch.
        number = sum(each.startswith(name) for each in proxies)
        proxies[name if not number else f"{name}-{number}"] = await stack.enter_async_context(made_.listening())
        return parts._replace(netloc=f"127.0.0.1:{made_.port}").geturl()

    async def shop(name: str) -> Shop:
        sandbox = await stack.enter_async_context(
            StripeSandbox(
                f"sk_test_{name}xxxxxxxxxxxxxxxx",
                f"whsec_{name}",
                rng=Random(f"{seed} {name}"),
                rate=Rate(),
                webhook_retries=RETRIES,
                webhook_timeout=15,
                webhook_transport=front,
            )
        )
        sandbox.webhooks.endpoints.add(f"http://127.0.0.1:{made.ports[0]}/hooks/{name}", secret=f"whsec_{name}")
        url = await served(sandbox)
        made.bases[name] = await at_proxy("stripe", url) if name == "l0" else url
        made.secrets[name] = sandbox.api_key
        return Shop(name, sandbox)

    async def served(sandbox: Served) -> str:
        return await stack.enter_async_context(serve(sandbox))

    async def other(name: str, app: str) -> Account:
        match app:
            case "stripe":
                return await shop(name)
            case "google_contacts":
                office = GoogleSandbox(rng=Random(f"{seed} {name}"), delay=visible)
                office.quota.limits = Limits(critical_read=90, write=60)
                url = await served(office)
                made.bases[name] = url if "google" in proxies else await at_proxy("google", url)
                made.secrets[name] = office.refresh_token
                return Office(name, office)
            case "carddav":
                server = await stack.enter_async_context(CarddavSandbox(made.folder / f"radicale-{name}"))
                book = Book(name, server, http)
                made.bases[name] = await at_proxy("carddav", server.url, book)
                made.secrets[name] = server.password
                return book
            case _:
                company = QuickBooksSandbox(rng=Random(f"{seed} {name}"))
                company.webhooks.url = f"http://127.0.0.1:{made.ports[0]}/hooks/{name}"
                made.bases[name] = await served(company)
                made.secrets[name] = company.refresh_token
                return Books(name, company)

    for at, pair in enumerate(pairs):
        made.pairs.append((await shop(f"l{at}"), await other(f"r{at}", pair.right)))


async def _to_postgres(postgres: EmbeddedPostgres) -> Streams:
    (folder,) = parse_qs(urlsplit(postgres.dsn).query)["host"]
    return await asyncio.open_unix_connection(str(Path(folder) / ".s.PGSQL.5432"))


async def _to_broker(folder: Path) -> Streams:
    text = (folder / "broker-1" / "server.properties").read_text("ascii")
    found = re.search(r"(?m)^listeners=PLAINTEXT://127\.0\.0\.1:(\d+)", text)
    assert found is not None
    return await asyncio.open_connection("127.0.0.1", int(found[1]))
