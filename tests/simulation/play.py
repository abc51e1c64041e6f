"""Playing a story: its steps, then rest, then judgement; and shortening one that ends wrong."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from tests.simulation.account import SECOND
from tests.simulation.features import Features
from tests.simulation.story import Story, nothing
from tests.simulation.sync import resent_at
from tests.simulation.verdict import judge
from tests.simulation.world import World

STEPS = 60
ROUNDS = 2000


@dataclass(frozen=True)
class Ended:
    """How a story ended."""

    wrong: Sequence[str]
    story: Sequence[str]


def rest(world: World, rng: Random) -> None:
    """No more faults; everything is delivered and worked off; time passes until nothing is due."""
    world.faults = world.losses = world.behind = False
    if world.silent_until is not None:
        world.pass_time(max(0, world.silent_until - world.now))
        world.speak_again()
    for name in sorted(world.paused):
        world.resume(name)
    for account in sorted(world.down):
        world.back(account)
    for _ in range(ROUNDS):
        if not _go_on(world, rng):
            return
        world.pass_time(10_000)
    raise AssertionError("it doesn't come to rest")


def _go_on(world: World, rng: Random) -> bool:
    """Do the next thing that is left to do; False if there is none."""
    entries = [entry for account in world.accounts for entry in world.ledger.open(account)]
    links = world.state.links.values()
    times = [link.reconsider_at for link in links if link.reconsider_at is not None]
    times += [at for link in links for at in resent_at(link)]
    looks = world.unanswered()
    times += [at for at, _ in looks]
    if world.bag:
        if not any(world.deliver(message, rng, nothing) for message in list(world.bag)):
            raise AssertionError("messages that can't be delivered")
    elif entries:
        world.work(entries[0], rng, nothing)
    elif due := world.due():
        world.sweep(due[0])
    elif late := [look for at, look in looks if at <= world.now]:
        world.fold(late[0], f"a look at {late[0].contact_id} that nobody answered")
    elif world.cursor < len(world.accounts["office"].log):
        world.poll(rng, nothing)
    elif world.unheard:
        world.catch_up()
    elif times:
        world.pass_time(max(0, min(times) - world.now))
    else:
        return False
    return True


def rescan(world: World) -> None:
    """Read both accounts from end to end, which has to change nothing."""
    world.tell("-- a full rescan")
    writes = world.writes
    world.pass_time(10 * SECOND)
    for account in world.accounts:
        world.scan(account, Random(0), nothing)
    rest(world, Random(0))
    if world.writes != writes:
        world.wrong.append("the full rescan led to writes")


def play(seed: int, features: Features, steps: Sequence[int] = range(STEPS)) -> Ended:
    """Play a seed's story, or only some of its steps, and judge how it ended."""
    story = Story(seed, features)
    world = story.world
    try:
        for number in steps:
            story.step(number)
        world.tell("-- no more faults")
        rest(world, Random(f"{story.seed}/rest"))
        world.wrong += judge(world)
        rescan(world)
    except Exception as error:  # noqa: BLE001 - the core never raises: whatever it is, it ends the story wrongly
        world.wrong.append(f"{type(error).__name__}: {error} ({_place(error)})")
    else:
        world.wrong += judge(world)
    return Ended(wrong=world.wrong, story=world.story)


def _place(error: Exception) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "" if trace is None else f"{trace.tb_frame.f_code.co_name}:{trace.tb_lineno}"


def shorten(seed: int, features: Features) -> Ended:
    """Return how the seed's story ends with as few steps as still go wrong in the same way."""
    steps, ended = list(range(STEPS)), play(seed, features)
    size = len(steps) // 2
    while size:
        start = 0
        while start < len(steps):
            fewer = steps[:start] + steps[start + size :]
            tried = play(seed, features, fewer)
            if tried.wrong and _kind(tried) == _kind(ended):
                steps, ended = fewer, tried
            else:
                start += size
        size //= 2
    return ended


def _kind(ended: Ended) -> str:
    return ended.wrong[0].split(":")[0] if ended.wrong else ""
