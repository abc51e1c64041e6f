"""Making a plan: every link and contact that a new config concerns, decided in a world of its own."""

from collections import Counter
from collections.abc import Callable, Sequence

from services.contracts.commands import Create, Tag, Untag, Update, Write
from services.contracts.contact import SIDES, Contact, Fields, Side
from services.sync.configs import Configs
from services.sync.core.mapping import Config
from services.sync.core.state import Link, other
from services.sync.core.take import Reconsider, Sighted
from services.sync.core.why import values_told
from services.sync.explain.report import Change
from services.sync.plan.course import Course
from services.sync.plan.proposed import affected, removed
from services.sync.plan.trial import Trial
from services.sync.plan.would import Kind, Plan, Would

LATER = 3_600_000_000
"""Microseconds of the time to come that a plan reaches into: what waits for a find or for the brake's window."""

Went = Callable[[], object]
"""Called after each link or contact that was decided about."""


def make(trial: Trial, stored: Configs, wanted: Configs, *, now: int, went: Went = lambda: None) -> Plan:
    """Return what would come of `wanted` being in force instead of `stored`. The trial is used up.

    `now`: microseconds since 1970.
    """
    names = affected(stored, wanted)
    plan = Plan(
        paused=tuple(name for name in names if wanted.connections[name].paused),
        unread=tuple(_unread(trial, wanted, names)),
    )
    for account, contact_id in trial.contacts():
        record = trial.record(account, contact_id)
        plan.contacts[account] += record is not None and record.live
    links = sorted(trial.links(), key=lambda link: link.seq or 0)
    plan.ends = dict(
        Counter(
            link.connection for link in links if link.connection in removed(stored, wanted) and link.status != "ended"
        )
    )
    course = Course(trial, wanted, now=now, noted=lambda write, world: plan.would.append(planned(write, world)))
    for link in links:
        if link.connection in names and link.status != "ended":
            course.take(Reconsider(link=link.id))
            plan.considered += 1
            went()
    for name in names:
        config = wanted.connections[name]
        for side in SIDES:
            for account, contact_id in trial.contacts():
                if account != config.account(side) or trial.linked(name, contact_id, left=side == "left"):
                    continue
                course.take(Sighted(account=account, contact_id=contact_id))
                plan.considered += 1
                went()
    course.until(now + LATER)
    _become(plan, course)
    return plan


def planned(write: Write, world: Trial) -> Would:
    """Return a write as a plan tells it."""
    aim = write.aim
    link = world.link(aim.link)
    kind: Kind
    contact: str | None
    changes: tuple[Change, ...]
    tag: str | None
    match write:
        case Create():
            kind, contact, changes, tag = "create", None, _changes(write.fields, {}), None
        case Update():
            kind, contact, changes, tag = "update", write.contact_id, _changes(write.fields, write.expected), None
        case Tag():
            kind, contact, changes, tag = "tag", write.contact_id, (), write.tag
        case Untag():
            kind, contact, changes, tag = "untag", write.contact_id, (), write.tag
    record = None if contact is None else world.record(aim.account, contact)
    who = (
        who_of(record.contact)
        if record is not None
        else who_of(Contact(fields=write.fields if isinstance(write, Create) else {}))
    )
    return Would(
        connection=aim.connection,
        link=aim.link,
        kind=kind,
        account=aim.account,
        contact=contact,
        of=link.half(other(aim.side)).contact_id or "" if link is not None else "",
        who=who,
        changes=changes,
        tag=tag,
    )


def who_of(contact: Contact | None) -> str:
    """Return an e-mail address of the contact, or its name, for people to know it by."""
    if contact is None:
        return ""
    paths = sorted(contact.fields, key=lambda path: (not path.startswith("email"), "name" not in path, path))
    return next((told[0] for path in paths if (told := values_told(contact.fields[path]))), "")


def _unread(trial: Trial, wanted: Configs, names: Sequence[str]) -> list[str]:
    accounts = {wanted.connections[name].account(side) for name in names for side in SIDES}
    return sorted(accounts - trial.scanned)


def _become(plan: Plan, course: Course) -> None:
    """Add what becomes of links beside what is written, and what they would wait for."""
    made = {each.link for each in plan.would if each.kind == "create"}
    for link_id, before in course.world.first.items():
        link = course.world.link(link_id)
        config = None if link is None else course.configs.connections.get(link.connection)
        if link is None or config is None:
            continue
        for kind, reason in _changed(before, link, course, made=link_id in made):
            plan.would.append(_told(config, link, course, kind, reason))
        if link.wait is not None and link.status not in ("duplicate", "ended"):
            plan.waits.setdefault(link.connection, Counter())[link.wait.reason] += 1


def _changed(before: Link | None, link: Link, course: Course, *, made: bool) -> list[tuple[Kind, str]]:
    decision = course.last.get(link.id)
    reason = "" if decision is None else decision.reason
    found: list[tuple[Kind, str]] = []
    was = None if before is None else before.status
    if link.paired and not made and link.status != "ended" and (before is None or not before.paired):
        found.append(("link", ""))
    if link.status == "outside" and was != "outside":
        found.append(("exclude", reason))
    if link.status == "duplicate" and was != "duplicate":
        found.append(("duplicate", reason))
    if was == "outside" and link.status in ("active", "pairing"):
        found.append(("return", ""))
    for side in SIDES:
        half = link.half(side)
        had = None if before is None else before.half(side)
        for line, hold in half.held.items():
            known = None if had is None else had.held.get(line)
            if not hold.approved and (known is None or known.value != hold.value):
                found.append(("hold", f"{line} on the {side} would be {hold.value}"))
        for line, refusal in half.refused.items():
            known_ = None if had is None else had.refused.get(line)
            if known_ != refusal:
                found.append(("refuse", f"{line}: {refusal.reason}"))
    return found


def _told(config: Config, link: Link, course: Course, kind: Kind, reason: str) -> Would:
    side: Side = "left" if link.left.contact_id is not None else "right"
    contact = link.half(side).contact_id
    record = None if contact is None else course.world.record(config.account(side), contact)
    return Would(
        connection=link.connection,
        link=link.id,
        kind=kind,
        account=config.account(side),
        contact=contact,
        of=link.right.contact_id or "" if kind == "link" else "",
        who=who_of(None if record is None else record.contact),
        reason=reason,
    )


def _changes(fields: Fields, expected: Fields) -> tuple[Change, ...]:
    return tuple(
        Change(field=path, before=values_told(expected.get(path, ())), after=values_told(values))
        for path, values in fields.items()
    )
