"""How the accounts are read: the feed, scans, looks and finds (P6, P7, P9)."""

import copy
from random import Random

from services.contracts.commands import Find, Look
from services.contracts.receipts import Absent, Found
from services.sync.core.take import Sighted
from tests.simulation.account import SECOND, Person, answered
from tests.simulation.message import Between, Message, ScanEnd
from tests.simulation.people import People


class Reading(People):
    """Reads the accounts."""

    def poll(self, rng: Random, between: Between) -> None:
        """Ask the office what changed since last time."""
        office = self.accounts["office"]
        fresh = list(dict.fromkeys(office.log[self.cursor :]))
        if not fresh:
            return
        self.polls += 1
        start = self.now
        self.pass_time(rng.randrange(300_000))
        self.cursor = len(office.log)
        people = [copy.copy(office.people[contact_id]) for contact_id in fresh]
        between(rng)
        self.pass_time(rng.randrange(300_000))
        for person in people:
            self.post(f"poll-{self.polls}-{person.id}", "office", person, answered("office", start, self.now), "feed")

    def go_silent(self, micros: int) -> None:
        """From now on, for so long, every webhook gets lost."""
        self.tell(f"for {micros // SECOND} s webhooks get lost")
        self.silent_until = self.now + micros

    def speak_again(self) -> None:
        """Webhooks come again."""
        self.tell("webhooks come again")
        self.silent_until = None

    def catch_up(self) -> None:
        """Ask the shops for their events, as the poller does: the same ones under the same ids (P6)."""
        if self.unheard:
            self.tell(f"the list of events has {len(self.unheard)} that no webhook told")
        self.bag += self.unheard
        self.unheard.clear()

    def scan(self, account: str, rng: Random, between: Between) -> None:
        """Read all contacts of an account."""
        self.scans += 1
        start, number = self.now, self.scans
        self.pass_time(rng.randrange(300_000))
        people = [copy.copy(person) for person in self.accounts[account].live()]
        between(rng)
        self.pass_time(rng.randrange(300_000))
        self.tell(f"scan {number} of {account} sees {len(people)}")
        order, ids = answered(account, start, self.now), []
        for person in people:
            ids.append(f"scan-{number}-{person.id}")
            self.post(ids[-1], account, person, order, "scan", scan=number)
        end = ScanEnd(account, number, start, tuple(ids))
        self.bag.append(Message(f"scan-{number}", end, f"end of scan {number} of {account}"))

    def scan_ended(self, end: ScanEnd) -> None:
        self.tell(f"scan {end.number} of {end.account} has passed")
        if end.account not in self.state.scanned:
            self.state.scanned |= {end.account}
            self.wake("scan", end.account)
        for record in list(self.state.records.values()):
            unseen = record.account == end.account and not record.deleted and record.scan != end.number
            if unseen and record.order.end < end.start:
                item = Sighted(account=record.account, contact_id=record.contact_id, look=True)
                self.fold(item, f"suspect {record.contact_id}")

    def look(self, command: Look, rng: Random, between: Between) -> None:
        start = self.now
        self.pass_time(rng.randrange(300_000))
        known = self.accounts[command.account].people.get(command.contact_id)
        person = copy.copy(known) if known is not None else Person(id=command.contact_id, fields={}, deleted=True)
        between(rng)
        self.pass_time(rng.randrange(300_000))
        event_id = f"look-{command.account}-{command.contact_id}-{command.look.number}-{command.look.attempt}"
        order = answered(command.account, start, self.now)
        self.post(event_id, command.account, person, order, "look", look=command.look)

    def find(self, command: Find) -> None:
        people = [p for p in self.accounts[command.account].live() if command.address in p.addresses]
        order = answered(command.account, self.now, self.now)
        for person in people:
            self.events += 1
            self.post(f"find-{self.events}", command.account, copy.copy(person), order, "find")
        asked = {"link": command.link, "account": command.account, "address": command.address, "number": command.number}
        answer: Found | Absent = Absent(**asked)  # type: ignore[arg-type]
        if people:
            answer = Found(**asked, contact_ids=tuple(person.id for person in people))  # type: ignore[arg-type]
        self.events += 1
        self.bag.append(Message(f"found-{self.events}", answer, f"answer to a find of {command.address}"))
