"""A story: what a seed lets happen to two accounts, step by step."""

from collections.abc import Callable
from random import Random

from msgspec import structs

from services.contracts.commands import Create
from services.contracts.contact import Fields, PersonName
from tests.simulation.account import PATHS, SECOND, Person
from tests.simulation.features import Features
from tests.simulation.people import TRASH
from tests.simulation.ruling import VARIANTS, VIP
from tests.simulation.sync import two_way
from tests.simulation.world import World

GAP = 3600 * SECOND
MOMENT = 300 * SECOND
"""The longest time between two things that happen while webhooks get lost."""


class Story:
    """One seed's story. Each step draws from a generator of its own, so any of them may be left out."""

    def __init__(self, seed: int, features: Features) -> None:
        self.seed = seed
        self.features = features
        rng = Random(f"{seed}/setup")
        connection = two_way(deletions=rng.choice(["both", "right_to_left"]) if features.deletions else "none")
        if rng.random() < 0.5:
            connection = structs.replace(connection, winner="right")
        if features.directions and rng.random() < 0.5:
            connection = structs.replace(connection, direction=rng.choice(["left_to_right", "right_to_left"]))
        if features.rules:
            connection = structs.replace(connection, rules=rng.choice(VARIANTS))
        self.world = World(connection, finds=features.finds, touches=features.touches)
        self.world.faults = features.faults
        self.world.losses = features.losses
        self.edits = 0
        self.people = 0
        self.gaps = 1 if features.gaps else 0
        for _ in range(rng.choice([1, 1, 2, 3]) if features.shared else 1):
            self._pair(rng)
        self._first_scans(rng)

    def _pair(self, rng: Random) -> None:
        address = self._address(rng)
        for account in rng.choice([["shop"], ["office"], ["shop", "office"]]):
            self._make(account, address, rng)

    def _address(self, rng: Random) -> str:
        if self.features.shared:
            return f"{rng.choice('abc')}@example.test"
        return "a@example.test"

    def _make(self, account: str, address: str, rng: Random) -> None:
        self.people += 1
        fields: Fields = {"email": (address,)}
        for name in ("name", "phone", "note"):
            if rng.random() < 0.8:
                fields[PATHS[account][name]] = self._value(account, name)
        self.world.create(account, f"{account[0]}{self.people}", fields)
        if self.features.rules and rng.random() < 0.6:
            self.world.mark(account, f"{account[0]}{self.people}")

    def _value(self, account: str, name: str) -> tuple[str | PersonName, ...]:
        self.edits += 1
        match name:
            case "name" if account == "office":
                return (PersonName(given="Ada", family=f"Nr{self.edits}"),)
            case "name":
                return (f"Ada Nr{self.edits}",)
            case "phone":
                return (f"+1 202 555 {self.edits:04d}",)
            case "email":
                return (f"e{self.edits}@example.test",)
            case _:
                return (f"note {self.edits}",)

    def _first_scans(self, rng: Random) -> None:
        if rng.random() < 0.5 or not self.features.between:
            self.world.bag.clear()
        for account in rng.sample(["shop", "office"], 2):
            self.world.scan(account, rng, nothing)
        self.world.cursor = len(self.world.accounts["office"].log)

    # Steps -----------------------------------------------------------------------------------------------

    def step(self, number: int) -> None:
        """Let one thing happen."""
        rng = Random(f"{self.seed}/{number}")
        self.world.pass_time(rng.choice([rng.randrange(50_000), rng.randrange(50_000), rng.randrange(1_500_000)]))
        if rng.random() < 0.1:
            self.world.pass_time(rng.choice([2, 5, 20]) * rng.randrange(SECOND))
        if self.world.silent_until is not None:
            self.world.pass_time(rng.randrange(MOMENT))
            if self.world.now >= self.world.silent_until:
                self.world.speak_again()
        acts = self._acts()
        self.world.behind = self.features.configs and rng.random() < 0.3
        act = rng.choices([act for act, _ in acts], [weight for _, weight in acts])[0]
        act(rng)

    def _acts(self) -> list[tuple[Callable[[Random], None], float]]:
        has = self.features
        acts: list[tuple[Callable[[Random], None], float]] = [
            (self._deliver, 5),
            (self._work, 3),
            (self._poll, 1.5),
            (self._sweep, 1.5),
        ]
        if self._over:
            return acts
        acts.append((self._edit, 2))
        if has.scans:
            acts.append((self._scan, 0.3))
        if has.creates:
            acts.append((self._appear, 0.4))
        if has.deletions:
            acts += [(self._delete, 0.4), (self._restore, 0.4), (self._untag, 0.3)]
        if has.configs:
            acts += [(self._pause, 0.3), (self.resume, 0.5), (self._raise, 0.3), (self._fall, 0.15), (self.back, 0.4)]
        if has.emails:
            acts.append((self._say, 1))
        if has.rules:
            acts += [(self._mark, 1.2), (self._strip, 0.5), (self._rule, 0.15)]
        if has.directions:
            acts.append((self._turn, 0.3))
        if self.gaps:
            acts.append((self._go_silent, 2))
        if self.world.silent_until is not None:
            acts += [(self._edit, 6), (self._catch_up, 0.3)]
        return acts

    def _go_silent(self, _: Random) -> None:
        self.gaps -= 1
        self.world.go_silent(GAP)

    def _catch_up(self, _: Random) -> None:
        self.world.catch_up()

    @property
    def _over(self) -> bool:
        """Whether people rest: any later webhook would tell what the lost ones didn't."""
        return self.features.gaps and not self.gaps and self.world.silent_until is None

    def _between(self, rng: Random) -> None:
        if self.features.between and not self._over and rng.random() < 0.3:
            self._edit(rng)

    def _deliver(self, rng: Random) -> None:
        bag = self.world.bag
        if not bag:
            return
        early = rng.random() < 0.5
        message = bag[min(len(bag) - 1, rng.randrange(len(bag)) // (3 if early else 1))]
        self.world.deliver(message, rng, self._between, twice=rng.random() < 0.1)

    def _work(self, rng: Random) -> None:
        entries = [entry for account in ("shop", "office") for entry in self.world.ledger.open(account)]
        if entries:
            self.world.work(rng.choice(entries), rng, self._between)

    def _poll(self, rng: Random) -> None:
        self.world.poll(rng, self._between)

    def _sweep(self, rng: Random) -> None:
        due = self.world.due()
        if due:
            self.world.sweep(rng.choice(due))

    def _scan(self, rng: Random) -> None:
        self.world.scan(rng.choice(["shop", "office"]), rng, self._between)

    def _someone(self, rng: Random) -> tuple[str, Person] | None:
        people = [(account.name, person) for account in self.world.accounts.values() for person in account.live()]
        return rng.choice(people) if people else None

    def _edit(self, rng: Random) -> None:
        someone = self._someone(rng)
        if someone is None:
            return
        account, person = someone
        name = rng.choice(["name", "phone", "note"])
        values = self._value(account, name)
        if self.features.clears and rng.random() < 0.15:
            values = ()
        if self.features.emails and rng.random() < 0.1:
            name = "email"
            values = self._value(account, name)
        if self.features.shared and name == "email" and rng.random() < 0.5:
            values = (self._address(rng),)
        self.world.edit(account, person.id, name, {PATHS[account][name]: values})

    def _appear(self, rng: Random) -> None:
        address = self._address(rng) if self.features.shared else f"{rng.choice('ab')}@example.test"
        for account in rng.choice([["shop"], ["office"], ["shop", "office"]]):
            taken = any(address in person.addresses for person in self.world.accounts[account].live())
            if self.features.shared or not taken:
                self._make(account, address, rng)

    def _delete(self, rng: Random) -> None:
        someone = self._someone(rng)
        if someone is None or any(
            isinstance(entry.command, Create) and entry.command.aim.link == someone[1].mark
            for entry in self.world.ledger.open("office")
        ):
            return  # an office can't tell a contact that was deleted from one that was never made
        self.world.delete(someone[0], someone[1].id)

    def _restore(self, rng: Random) -> None:
        gone = [
            (account.name, person.id)
            for account in self.world.accounts.values()
            for person in account.people.values()
            if person.deleted and account.name == "office"
        ]
        if gone:
            self.world.restore(*rng.choice(gone))

    def _untag(self, rng: Random) -> None:
        tagged = [(a.name, p.id) for a in self.world.accounts.values() for p in a.live() if TRASH in p.tags]
        if tagged:
            self.world.untag(*rng.choice(tagged))

    def _mark(self, rng: Random) -> None:
        someone = self._someone(rng)
        if someone is not None:
            self.world.mark(someone[0], someone[1].id)

    def _strip(self, rng: Random) -> None:
        tagged = [(a.name, p.id) for a in self.world.accounts.values() for p in a.live() if VIP in p.tags]
        if tagged:
            self.world.strip(*rng.choice(tagged))

    def _rule(self, rng: Random) -> None:
        rules = rng.choice(VARIANTS)
        self.world.tell(f"rules {VARIANTS.index(rules)}")
        self.world.configure(structs.replace(self.world.connection, rules=rules))

    def _say(self, rng: Random) -> None:
        held = self.world.held()
        if held:
            self.world.say(*rng.choice(held), approved=rng.random() < 0.6)

    def _pause(self, rng: Random) -> None:
        self.world.pause(self.world.connection.name)

    def resume(self, _: Random) -> None:
        """The connection goes on."""
        for name in sorted(self.world.paused):
            self.world.resume(name)

    def _raise(self, rng: Random) -> None:
        self.world.tell("a new config version")
        self.world.configure(self.world.connection)

    def _turn(self, rng: Random) -> None:
        direction = rng.choice(["two_way", "left_to_right", "right_to_left"])
        self.world.tell(f"direction {direction}")
        self.world.configure(structs.replace(self.world.connection, direction=direction))

    def _fall(self, rng: Random) -> None:
        account = rng.choice(["shop", "office"])
        self.world.tell(f"{account} is down")
        self.world.down.add(account)

    def back(self, _: Random) -> None:
        """Every account that was down takes commands again."""
        for account in sorted(self.world.down):
            self.world.back(account)


def nothing(_: Random) -> None:
    """Nothing happens meanwhile."""
