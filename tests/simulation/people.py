"""What people do in the accounts, and how an account tells of it."""

from services.contracts.contact import SIDES, Fields, Order
from services.contracts.events import ContactChanged, ContactDeleted, ContactTouched, LookAnswer, Origin
from services.sync.core.state import other
from tests.simulation.account import PATHS, SECOND, Person, said_at
from tests.simulation.message import Message, short
from tests.simulation.ruling import GOLD, VIP
from tests.simulation.sync import START, Sync

TRASH = "PieSync Trash"


class People(Sync):
    """Makes, edits, deletes and restores contacts."""

    def create(self, account: str, contact_id: str, fields: Fields) -> None:
        """A person makes a contact."""
        person = Person(id=contact_id, fields={})
        self.accounts[account].keep(person, fields)
        self.tell(f"a person makes {account} {contact_id}: {short(person.fields)}")
        for name, path in PATHS[account].items():
            if path in person.fields:
                self.provenance.edited((account, contact_id, name), person.say(name, account), f"made {contact_id}")
        self._changed(account, person, {})

    def edit(self, account: str, contact_id: str, name: str, fields: Fields) -> None:
        """A person changes one field."""
        person = self.accounts[account].people[contact_id]
        before = dict(person.fields)
        self.accounts[account].keep(person, fields)
        if before == person.fields:
            return
        self.tell(f"a person edits {account} {contact_id}: {short(fields)}")
        self.provenance.edited((account, contact_id, name), person.say(name, account), f"{account} {short(fields)}")
        self._changed(account, person, before)

    def delete(self, account: str, contact_id: str) -> None:
        """A person deletes a contact."""
        person = self.accounts[account].people[contact_id]
        person.deleted = True
        person.deletions += 1
        self.tell(f"a person deletes {account} {contact_id}")
        self._changed(account, person, person.fields)

    def restore(self, account: str, contact_id: str) -> None:
        """A person brings a deleted contact back."""
        person = self.accounts[account].people[contact_id]
        person.deleted = False
        for there, partner in self.partners(account, contact_id):
            self.untagged.discard((there, partner.id))
        self.tell(f"a person restores {account} {contact_id}")
        self._changed(account, person, person.fields)

    def partners(self, account: str, contact_id: str) -> list[tuple[str, Person]]:
        """Return the contacts of other accounts that are linked with one."""
        found = []
        for link in self.state.links.values():
            for side in SIDES:
                partner, there = link.half(other(side)).contact_id, self.account(link, other(side))
                mine = self.account(link, side) == account and link.half(side).contact_id == contact_id
                if mine and link.status != "ended" and partner is not None:
                    found.append((there, self.accounts[there].people[partner]))
        return found

    def untag(self, account: str, contact_id: str) -> None:
        """A person removes our tag."""
        person = self.accounts[account].people[contact_id]
        person.tags -= {TRASH}
        partners = self.partners(account, contact_id)
        if len(partners) != 1 or partners[0][1].deletions > 1:
            # The tag removed may be an earlier deletion's: nobody can know.
            self.doubtful.add((account, contact_id))
        self.untagged.add((account, contact_id))
        self.tell(f"a person untags {account} {contact_id}")
        self._changed(account, person, person.fields)

    def mark(self, account: str, contact_id: str) -> None:
        """A person says that a contact is gold, or isn't any more."""
        person = self.accounts[account].people[contact_id]
        person.tags ^= {GOLD}
        key = (account, contact_id)
        self.marks[key] = self.marks.get(key, 0) + 1
        self.tell(f"a person {'marks' if GOLD in person.tags else 'unmarks'} {account} {contact_id}")
        self._changed(account, person, person.fields)

    def strip(self, account: str, contact_id: str) -> None:
        """A person removes the tag that a rule set."""
        person = self.accounts[account].people[contact_id]
        person.tags -= {VIP}
        self.stripped.add((account, contact_id))
        self.tell(f"a person strips {account} {contact_id}")
        self._changed(account, person, person.fields)

    def _changed(self, account: str, person: Person, before: Fields) -> None:
        self.deeds += 1
        self.accounts[account].change(person)
        self.announce(account, person, before)

    def announce(self, account: str, person: Person, before: Fields, *, label: str | None = None) -> bool:
        """A shop says at once what changed; the office waits to be asked. Return whether it told what was before."""
        if account == "office":
            return False
        said = self._say(account, person, before, label)
        if self.silent_until is not None:
            lost = self.bag.pop()
            self.tell(f"lost: {lost.told}")
            self.unheard.append(lost)
        return said

    def _say(self, account: str, person: Person, before: Fields, label: str | None) -> bool:
        self.events += 1
        prior = {key: before.get(key, ()) for key in before.keys() | person.fields.keys()}
        prior = {key: values for key, values in prior.items() if values != person.fields.get(key, ())}
        if self.touches and self.events % 3 == 0:
            body = ContactTouched(account=account, contact_id=person.id, origin="webhook")
            self.bag.append(
                Message(f"evt-{self.events}", body, f"webhook evt-{self.events} {account} {person.id}: touched")
            )
            return False
        self.post(f"evt-{self.events}", account, person, said_at(self.now), "webhook", prior=prior, label=label)
        return True

    def post(
        self,
        event_id: str,
        account: str,
        person: Person,
        order: Order,
        origin: Origin,
        *,
        prior: Fields | None = None,
        scan: int | None = None,
        look: LookAnswer | None = None,
        label: str | None = None,
    ) -> None:
        body: ContactChanged | ContactDeleted
        if person.deleted:
            body = ContactDeleted(account=account, contact_id=person.id, order=order, origin=origin, look=look)
        else:
            body = ContactChanged(
                account=account,
                contact_id=person.id,
                order=order,
                origin=origin,
                contact=person.contact(account),
                prior=prior or {},
                scan=scan,
                look=look,
                label=label,
            )
        what = "gone" if person.deleted else short(person.fields) + (f" tags={set(person.tags)}" if person.tags else "")
        at = f"[{(order.start - START) / SECOND:.2f},{(order.end - START) / SECOND:.2f}]"
        self.bag.append(Message(event_id, body, f"{origin} {event_id} {account} {person.id} {at}: {what}"))
