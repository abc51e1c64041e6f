"""The world around the core: a virtual clock, two accounts, and every message in the scheduler's hand.

What PROTOCOL.md asks of everyone but the core is here in its smallest form: the inbox (P6), wakes and the sweeper
(P10), scans with an end (P7), looks and finds (P9), a ledger (P4, P11, P12, P14). Nothing is delivered unless it is
drawn, and each draw has a generator of its own, so that a story can be shortened without changing what the rest of it
draws.
"""

from random import Random

from services.contracts.commands import Create, Find, Look, Tag, Untag, Update
from services.contracts.events import ContactChanged, ContactDeleted, ContactTouched
from services.contracts.receipts import Absent, Found, Receipt
from tests.simulation.hands import Hands
from tests.simulation.message import Back, Between, Message, ScanEnd

LOST = 0.1
LOSABLE = (Create, Update, Tag, Untag, Look, Find, Receipt, Found, Absent)
"""Events aren't: whoever deletes their topic has the accounts read again."""


class World(Hands):
    """Everything there is."""

    def deliver(self, message: Message, rng: Random, between: Between, *, twice: bool = False) -> bool:
        """Deliver a message; return whether that was possible now."""
        body = message.body
        if not self._arrived(body):
            return False
        if not twice:
            self.bag.remove(message)
            if self._vanishes(message, rng):
                return True
        match body:
            case ScanEnd():
                self.scan_ended(body)
            case Back():
                self.wake("account", body.account)
            case Look():
                self.look(body, rng, between)
            case Find():
                self.find(body)
            case Create() | Update() | Tag() | Untag():
                for receipt in self.ledger.accept(body):
                    self.report(receipt)
            case ContactChanged() | ContactDeleted() | ContactTouched():
                if message.id in self.inbox:
                    return True
                self.inbox.add(message.id)
                self.fold(body, message.told)
            case _:
                self.fold(body, message.told)
        return True

    def _vanishes(self, message: Message, rng: Random) -> bool:
        lost = self.losses and isinstance(message.body, LOSABLE) and rng.random() < LOST
        if lost:
            self.tell(f"{message.told} vanishes")
        return lost

    def _arrived(self, body: object) -> bool:
        """Whether everything that stands before it in the log was delivered."""
        match body:
            case ScanEnd():
                return set(body.events) <= self.inbox
            case Back():
                return not any(message.id in body.earlier for message in self.bag)
            case _:
                return True
