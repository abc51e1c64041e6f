"""What has to be true of sync's state after every step, whatever is still on its way (P8, P10, P11)."""

from services.contracts.contact import SIDES
from services.sync.core.state import Link
from tests.simulation.world import World


def unsound(world: World) -> list[str]:
    """Return what is wrong with the world now."""
    found = list(world.wrong)
    homes: set[tuple[str, str, str]] = set()
    for link in world.state.links.values():
        if link.status == "ended":
            continue
        for side in SIDES:
            contact_id = link.half(side).contact_id
            if contact_id is None:
                continue
            home = (link.connection, side, contact_id)
            if home in homes:
                found.append(f"twice: {contact_id} is in two links of {link.connection}")
            homes.add(home)
        if _forgotten(world, link):
            found.append(f"P10: {link.id[:8]} waits for what is over, and nothing wakes it: {link.wait}")
        if link.paired and (link.connection, link.left.contact_id, link.right.contact_id) in world.unlinked:
            found.append(f"C7: {link.left.contact_id} and {link.right.contact_id} are a pair again")
    for (account, address), holder in world.state.reservations.items():
        if world.state.links[holder].status == "ended":
            found.append(f"P8: {address} in {account} is reserved by the link {holder[:8]}, which has ended")
    return found + _taken_early(world)


def _forgotten(world: World, link: Link) -> bool:
    """Whether nothing that is still to happen ends the link's wait."""
    state, wait = world.state, link.wait
    if wait is None or link.id in world.wakes or link.reconsider_at is not None or link.config_version < world.version:
        return False
    if link.unsettled:
        return False  # the receipt steps it
    match wait.reason:
        case "address":
            return not any(on == wait.on and holder != link.id for (_, on), holder in state.reservations.items())
        case "duplicate":
            return state.links[wait.on].status == "ended"
        case "receipt":
            return not state.links[wait.on].unsettled
        case "look":
            read = [record for record in state.records.values() if record.contact_id == wait.on]
            return bool(read) and all(record.looking is None for record in read)
        case "scan":
            return wait.on in state.scanned
        case "merge" | "account" | "find":
            return True
        case _:
            return False


def _taken_early(world: World) -> list[str]:
    """A contact that carries the mark of a create without a receipt belongs to nobody else (P8)."""
    found = []
    for link in world.state.links.values():
        for side in SIDES:
            pending = link.half(side).pending
            if pending is None or pending.kind != "create":
                continue
            for person in world.accounts[world.account(link, side)].people.values():
                home = world.state.by_contact.get((link.connection, side, person.id))
                theirs = None if home is None or person.mark != link.id else world.state.links[home]
                if theirs is not None and theirs.id != link.id and theirs.paired:
                    found.append(f"P8: {person.id} is linked, though the create that made it has no receipt")
    return found
