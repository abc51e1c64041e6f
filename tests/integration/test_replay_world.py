"""A world finds in memory exactly what a transaction would lock and load in the database (P0, P17)."""

from __future__ import annotations

from random import Random

from msgspec.structs import replace

from services.contracts.connection import Connection
from services.contracts.contact import Contact
from services.contracts.envelope import derived
from services.runtime.store import Connection as Database
from services.runtime.store import Store
from services.sync.closure import Keys, closure
from services.sync.configs import Configs, read_configs
from services.sync.core.brake import lock_of
from services.sync.core.slice import ContactKey, Slice
from services.sync.core.state import Half, Link, Record, Status, Wait, Window
from services.sync.journal import Taken
from services.sync.load import load, lock, present, scanned_accounts
from services.sync.replay.present import world_of
from services.sync.replay.world import World
from services.sync.save import save
from tests.core.bench import order
from tests.integration.sync_rig import MANIFESTS, PAIR, rig

SECOND_PAIR = Connection(name="other", left="second", right="office")
ACCOUNTS = ("shop", "office", "second", "annex")
STATUSES: tuple[Status, ...] = ("pairing", "active", "outside", "duplicate", "tombstone", "ended")
ROUNDS = 8
SEEDS = 25


def address(rng: Random) -> str:
    return f"p{rng.randrange(14)}@example.com"


def contact_id(rng: Random) -> str:
    return f"c{rng.randrange(12)}"


def link_id(number: int) -> str:
    return derived("test-link", number)


def drawn_record(rng: Random, key: ContactKey) -> Record:
    addresses = tuple(dict.fromkeys(address(rng) for _ in range(rng.randrange(3))))
    mark = link_id(rng.randrange(30)) if rng.random() < 0.2 else None
    return Record(
        account=key[0],
        contact_id=key[1],
        contact=Contact(fields={"email": addresses}, mark=mark) if rng.random() < 0.9 else None,
        order=order(0),
        deleted=rng.random() < 0.2,
        addresses=addresses,
        merged_into=contact_id(rng) if rng.random() < 0.2 else None,
    )


def drawn_link(rng: Random, number: int, taken: dict[tuple[str, str, str], str]) -> Link:
    """A link whose contacts no other link has that hasn't ended (as the store's indexes demand)."""
    connection = rng.choice(("pair", "other"))
    status = rng.choice(STATUSES)
    link = Link(id=link_id(number), connection=connection, status=status)
    for side in ("left", "right"):
        contact = contact_id(rng)
        free = taken.get((connection, side, contact), link.id) == link.id
        if rng.random() < 0.7 and (free or status == "ended"):
            link = link.with_half(side, Half(contact_id=contact))
            if status != "ended":
                taken[connection, side, contact] = link.id
    if status == "duplicate":
        link = replace(link, wait=Wait(reason="duplicate", on=link_id(rng.randrange(30))))
    return replace(link, counted=rng.choice((None, 1, 2)))


async def change(database: Database, configs: Configs, world: World, rng: Random) -> None:
    """Let a transaction change things at random, in the store and in the world."""
    state = Slice(
        now=await present(database),
        incarnation=1,
        configs=dict(configs.connections),
        manifests=configs.manifests,
        scanned=frozenset(),
    )
    for _ in range(15):
        record = drawn_record(rng, (rng.choice(ACCOUNTS), contact_id(rng)))
        state.put_record(record)
    known = {link.id: link for link in world.links()}
    taken = {
        (link.connection, side, link.half(side).contact_id or ""): link.id
        for link in known.values()
        for side in ("left", "right")
        if link.status != "ended"
    }
    for number in rng.sample(range(30), 8):
        link = drawn_link(rng, number, taken)
        if link.id in known:
            link = replace(link, connection=known[link.id].connection, seq=known[link.id].seq)
            mine = [taken.get((link.connection, side, link.half(side).contact_id or "")) for side in ("left", "right")]
            if any(holder not in (None, link.id) for holder in mine):
                continue
        else:
            link = replace(link, seq=state.sighted())
        state.links[link.id] = link
        state.dirty_links.add(link.id)
    before = {}
    holders = sorted({*known, *state.links})
    for _ in range(6):
        key = (rng.choice(ACCOUNTS), address(rng))
        before[key] = ""
        if holders and rng.random() < 0.7:
            state.reservations[key] = rng.choice(holders)
    state.put_window(Window(connection="pair", opened=rng.choice((1, 2, state.now)), active=3, count=rng.randrange(9)))
    await save(database, before, state, [], Taken(configs=configs, items=()))
    seqs = {row["id"]: row["seq"] for row in await database.fetch("SELECT id::text, seq FROM sync.link")}
    world.absorb(before, state, seqs)


def drawn_seeds(rng: Random) -> Keys:
    contacts = {(rng.choice(ACCOUNTS), contact_id(rng)) for _ in range(rng.randrange(3))}
    links = {link_id(rng.randrange(30)) for _ in range(rng.randrange(3))}
    return Keys(addresses={address(rng) for _ in range(rng.randrange(2))}, links=links, contacts=contacts)


async def test_p17_a_world_finds_what_the_store_finds(store: Store) -> None:
    async with rig(store, PAIR, SECOND_PAIR, scanned=False):
        rng, world = Random(17), World()
        for _ in range(ROUNDS):
            async with store.transaction() as database:
                configs = await read_configs(database, MANIFESTS)
                await change(database, configs, world, rng)
            async with store.transaction() as database:
                for _ in range(SEEDS):
                    await compare(database, configs, world, drawn_seeds(rng))
            async with store.transaction("repeatable_read", readonly=True) as database:
                assert list((await world_of(database)).rows()) == list(world.rows())


async def compare(database: Database, configs: Configs, world: World, seeds: Keys) -> None:
    keys = world.closure(seeds, configs)
    assert keys == await closure(database, seeds, configs)
    keys.addresses.add(lock_of("pair"))
    links, records = await lock(database, keys)
    scanned = await scanned_accounts(database, sorted(configs.manifests))
    there = await load(database, keys, configs, links, records, scanned)
    here = world.slice(keys, configs, now=there.now)
    assert vars(here) == vars(there)
