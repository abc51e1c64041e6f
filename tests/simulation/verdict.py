"""What has to be true when everything has come to rest (PROTOCOL, "What a model must check")."""

from services.contracts.connection import Connection
from services.contracts.contact import SIDES
from services.sync.core.state import Link
from tests.simulation.account import Person
from tests.simulation.ledger import FORBIDDEN
from tests.simulation.people import TRASH
from tests.simulation.provenance import Cell
from tests.simulation.ruling import VIP, matching, tags_partner
from tests.simulation.world import World

BASE, PER_DEED = 4, 3
"""The most writes: some for the first pairing, and some for each thing that a person did."""


def judge(world: World) -> list[str]:
    """Return what is wrong with the world at rest."""
    found = [*_open(world), *_stale(world), *_tags(world)]
    for connection in world.connections:
        found += _partners(world, connection)
    for link in world.state.links.values():
        connection = next(each for each in world.connections if each.name == link.connection)
        if link.status in ("active", "outside"):
            found += _ruled(world, connection, link)
        if link.status == "active":
            found += _values(world, connection, link)
    if world.writes > (bound := (BASE + PER_DEED * world.deeds) * len(world.connections)):
        found.append(f"writes: {world.writes} are more than {bound}, after {world.deeds} things that people did")
    return found


def _open(world: World) -> list[str]:
    found = []
    for link in world.state.links.values():
        name = f"link {link.id[:8]} ({link.status})"
        if link.unsettled:
            found.append(f"unsettled: {name} has a write without a receipt")
        if link.reconsider_at is not None or link.id in world.wakes:
            found.append(f"due: {name} is due")
        if link.status != "ended" and link.wait is not None and link.wait.reason not in ("duplicate", "refused"):
            found.append(f"waiting: {name} waits for ever: {link.wait.reason} {link.wait.on}")
    found += [f"look: {key} is looked at for ever" for key, record in world.state.records.items() if record.looking]
    return found


def _stale(world: World) -> list[str]:
    found = []
    for account in world.accounts.values():
        for person in account.people.values():
            record = world.state.records.get((account.name, person.id))
            if record is None:
                if not person.deleted:
                    found.append(f"stale: {person.id} isn't known")
            elif record.deleted != person.deleted:
                found.append(f"stale: {person.id} is recorded as deleted={record.deleted}")
            elif not person.deleted and (
                record.contact is None
                or record.contact.fields != person.fields
                or record.contact.tags != tuple(sorted(person.tags))
            ):
                found.append(f"stale: what is recorded of {person.id} isn't what it is")
    return found


def _values(world: World, connection: Connection, link: Link) -> list[str]:
    people = _pair(world, connection, link)
    if people is None:
        return []
    left, right = people
    found = []
    for name in ("name", "phone", "note"):
        here, there = left.say(name, connection.left), right.say(name, connection.right)
        cells = (connection.left, left.id, name), (connection.right, right.id, name)
        excused = bool(world.provenance.excused & set(cells))
        if here.startswith(FORBIDDEN) or there.startswith(FORBIDDEN):
            continue  # it rests (P15)
        standing = world.provenance.standing(cells)
        if connection.direction != "two_way":
            source, target = cells if connection.direction == "left_to_right" else cells[::-1]
            value = here if source is cells[0] else there
            present = world.provenance.giving(source, value)
            reached = here == there or present & world.provenance.held.get(target, frozenset())
            if value and not reached and not excused:
                found.append(f"unsent: {name}={value!r} of {source[1]} never reached {target[1]}")
        elif here != there:
            found.append(f"unequal: {name} of {left.id} is {here!r}, of {right.id} {there!r}")
        elif (
            standing
            and not world.turned
            and not excused
            and not _paired_anew(world, cells)
            and here not in {edit.value for edit in standing}
        ):
            told = "; ".join(edit.story for edit in standing)
            found.append(f"lost: {name} of {left.id} and {right.id} is {here!r}, but should be one of {told}")
    cells = (connection.left, left.id, "email"), (connection.right, right.id, "email")
    standing = world.provenance.standing(cells)
    here, there = left.say("email", connection.left), right.say("email", connection.right)
    from_shop = len(standing) == 1 and standing[0].story.startswith(connection.left) and standing[0].value
    settled = world.turned or _paired_anew(world, cells)
    if from_shop and here != there and connection.direction != "right_to_left" and not settled:
        found.append(f"lost: the shop's e-mail {here!r} of {left.id} isn't {right.id}'s, which is {there!r}")
    return found


def _paired_anew(world: World, cells: tuple[Cell, Cell]) -> bool:
    """Whether the link followed a merge: it then began without a base, and the winner's values counted (D7, P13)."""
    return any((account, contact_id) in world.merged | world.by_hand for account, contact_id, _ in cells)


def _pair(world: World, connection: Connection, link: Link) -> tuple[Person, Person] | None:
    if link.left.contact_id is None or link.right.contact_id is None:
        return None
    left = world.accounts[connection.left].people[link.left.contact_id]
    right = world.accounts[connection.right].people[link.right.contact_id]
    return None if left.deleted or right.deleted else (left, right)


def _ruled(world: World, connection: Connection, link: Link) -> list[str]:
    """A pair is in the sync as long as a rule takes one of it, and tagged as long as a rule wants that."""
    people = _pair(world, connection, link)
    if people is None:
        return []
    left, right = people
    taken = bool(matching(connection, connection.left, left) or matching(connection, connection.right, right))
    found = []
    if connection.direction == "two_way" and taken != (link.status == "active"):
        found.append(
            f"rules: {left.id} and {right.id} are {link.status}, and a rule takes {'one' if taken else 'none'}"
        )
    ends = (connection.left, left, connection.right, right), (connection.right, right, connection.left, left)
    for account, person, source_account, source in ends:
        wanted, tagged = tags_partner(connection, source_account, source), VIP in person.tags
        key = (account, person.id)
        if left.deletions or right.deletions:
            continue  # the tag may be an earlier pair's
        if wanted and key not in world.stripped and not tagged:
            found.append(f"action: {account} {person.id} should be tagged")
        always = not world.reruled and world.marks.get((source_account, source.id), 0) <= 1
        if wanted and key in world.stripped and always and tagged:
            found.append(f"action: {account} {person.id} is tagged, although a person removed the tag")
        if not wanted and tagged and all(rule.undo for rule in world.in_force if rule.actions):
            found.append(f"action: {account} {person.id} should not be tagged")
    return found


def _steady(world: World, key: tuple[str, str]) -> bool:
    """Whether rules took the contact and its partners all the time: else a deletion may have come while they didn't."""
    if all(not rule.conditions for rule in world.connection.rules) and not world.reruled:
        return True
    keys = [key, *((there, partner.id) for there, partner in world.partners(*key))]
    return not world.reruled and any(
        world.marks.get(each, 0) == 1 and matching(world.connection, each[0], world.accounts[each[0]].people[each[1]])
        for each in keys
    )


def _partners(world: World, connection: Connection) -> list[str]:
    """Every live contact has a partner, unless another one with its address stands in the way."""
    found = []
    linked = {
        (connection.left if side == "left" else connection.right, link.half(side).contact_id)
        for link in world.state.links.values()
        if link.connection == connection.name and link.status != "ended" and link.paired
        for side in SIDES
    }
    for account, target in ((connection.left, "right"), (connection.right, "left")):
        for person in world.accounts[account].live():
            if (
                (account, person.id) in linked
                or not person.addresses
                or not connection.writes("left" if target == "left" else "right")
                or not matching(connection, account, person)
            ):
                continue
            twins = [
                (there, twin.id)
                for there in (connection.left, connection.right)
                for twin in world.accounts[there].live()
                if twin.id != person.id and set(twin.addresses) & set(person.addresses)
            ]
            blocked = any(twin in linked for twin in twins)
            kept = any(person.id in pair for pair in world.unlinked)
            if not blocked and not kept and (account, person.id) not in world.merged:
                found.append(f"alone: {account} {person.id} has no partner, and nothing stands in its way")
    return found


def _plain_which(world: World, key: tuple[str, str]) -> bool:
    """Whether it is plain which deletion's tag a person removed, if any."""
    if key in world.doubtful:
        return False
    return key not in world.untagged or all(partner.deletions == 1 for _, partner in world.partners(*key))


def _tags(world: World) -> list[str]:
    """Our tag stands exactly where a contact's partner is deleted, unless a person removed it."""
    found = []
    bereaved: set[tuple[str, str]] = set()
    for link in world.state.links.values():
        connection = next(each for each in world.connections if each.name == link.connection)
        if link.status != "ended" and link.paired:
            bereaved |= _bereaved(world, connection, link)
            found += _merged_after_all(world, connection, link)
    for account in world.accounts.values():
        for person in account.live():
            key = (account.name, person.id)
            should = key in bereaved and key not in world.untagged
            if _plain_which(world, key) and _steady(world, key) and should != (TRASH in person.tags):
                found.append(f"tag: {account.name} {person.id} should{'' if should else ' not'} be tagged")
    return found


def _merged_after_all(world: World, connection: Connection, link: Link) -> list[str]:
    """While another contact beside the deleted one has the survivor's address, it was no deletion (P13)."""
    left, right = (
        world.accounts[connection.left].people[link.left.contact_id or ""],
        world.accounts[connection.right].people[link.right.contact_id or ""],
    )
    if left.deleted == right.deleted:
        return []
    survivor, account = (left, connection.right) if right.deleted else (right, connection.left)
    heirs = [one.id for one in world.accounts[account].live() if set(one.addresses) & set(survivor.addresses)]
    apart = [pair for pair in world.unlinked if survivor.id in pair]
    if not heirs or apart:
        return []
    return [f"merge: {survivor.id} stands without its partner, and {heirs[0]} in {account} has its address"]


def _bereaved(world: World, connection: Connection, link: Link) -> set[tuple[str, str]]:
    """Return the contacts of a link that are to be tagged, because their partner is deleted."""
    left = world.accounts[connection.left].people[link.left.contact_id or ""]
    right = world.accounts[connection.right].people[link.right.contact_id or ""]
    options = connection.options.sync_deletions
    found = set()
    if right.deleted and options in ("both", "right_to_left"):
        found.add((connection.left, left.id))
    if left.deleted and options in ("both", "left_to_right"):
        found.add((connection.right, right.id))
    return found
