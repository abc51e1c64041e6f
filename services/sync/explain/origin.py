"""Where each field's present value comes from: the last decision or observation in the journal that set it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from services.contracts.contact import Contact, Side
from services.sync.core.mapping import Config, Line, normal_view, observed
from services.sync.core.state import Half, Link, other
from services.sync.explain.report import Provenance
from services.sync.explain.story import Row, version_told

OLDER = Provenance(by="unknown", told="it was so before the journal's first entry about it")


@dataclass(frozen=True, kw_only=True)
class Origins:
    """The journal, asked about fields."""

    config: Config
    link: Link
    own: Sequence[Row]
    """The link's rows, oldest first."""
    around: Sequence[Row]
    """Those, and the rows of its contacts' links in other connections, oldest first."""

    def of(self, line: Line, side: Side, contact: Contact) -> Provenance | None:
        """Return where the value on that side comes from; None if it is empty and never was otherwise."""
        half, path = self.link.half(side), line.field(side).path
        change = self._changed(self.config.account(side), half.contact_id, path)
        written = self._last(
            lambda row: (
                row.outcome == "written"
                and row.detail.answered is not None
                and row.detail.answered.outcome == "written"
                and row.detail.answered.side == side
                and line.id in row.detail.lines
            )
        )
        if written is not None and (change is None or change.number <= written.number or _echo(change, written)):
            return self._ours(line, side, written)
        if self._under_way(line, side, half, contact, change):
            return self._ours(line, side, None)
        if change is not None:
            return self._theirs(change)
        return OLDER if observed(contact, line, side) else None

    def _last(
        self, fits: Callable[[Row], bool], upto: int | None = None, rows: Sequence[Row] | None = None
    ) -> Row | None:
        among = self.own if rows is None else rows
        return next((row for row in reversed(among) if (upto is None or row.number <= upto) and fits(row)), None)

    def _changed(self, account: str, contact_id: str | None, path: str, upto: int | None = None) -> Row | None:
        def fits(row: Row) -> bool:
            seen = row.detail.seen
            return seen is not None and (seen.account, seen.contact) == (account, contact_id) and path in seen.changed

        return self._last(fits, upto, self.around)

    def _under_way(self, line: Line, side: Side, half: Half, contact: Contact, change: Row | None) -> bool:
        """Whether the value is that of our write whose receipt hasn't come: its echo was faster."""
        write = None if half.pending is None else half.pending.lines.get(line.id)
        issued = self._issued(side, None)
        return (
            write is not None
            and change is not None
            and issued is not None
            and issued.number < change.number
            and normal_view(observed(contact, line, side), line, side) == write.wanted
        )

    def _issued(self, side: Side, answer: Row | None) -> Row | None:
        """Return the decision that led to the answered write, or to the one under way."""
        answered = None if answer is None else answer.detail.answered
        pending = self.link.half(side).pending
        version = answered.version if answered is not None else None if pending is None else pending.version
        return self._last(
            lambda row: any(each.side == side and each.version == version for each in row.detail.writes),
            None if answer is None else answer.number,
        )

    def _ours(self, line: Line, side: Side, answer: Row | None) -> Provenance:
        issued = self._issued(side, answer)
        source = other(side)
        account, path = self.config.account(source), line.field(source).path
        cause: Row | None = None
        if issued is not None:
            cause = self._changed(account, self.link.half(source).contact_id, path, issued.number)
        told = f"written by contactsync from {account}'s {path}"
        if answer is None:
            told += " (its answer hasn't come yet)"
        answered = None if answer is None else answer.detail.answered
        pending = self.link.half(side).pending
        version = answered.version if answered is not None else None if pending is None else pending.version
        seen = None if cause is None else cause.detail.seen
        at = answer or issued
        return Provenance(
            by="contactsync",
            told=told,
            at=None if at is None else at.at,
            event=None if cause is None else cause.cause,
            via=None if seen is None else seen.origin,
            account=account,
            write=None if version is None else version_told(version),
            number=None if issued is None else issued.number,
        )

    def _theirs(self, change: Row) -> Provenance:
        seen = change.detail.seen
        via = None if seen is None else seen.origin
        account = "" if seen is None else seen.account
        told = {
            None: f"set in {account}; seen in the answer to a write",
            "scan": f"stood in {account} when it was read",
            "find": f"stood in {account} when it was asked",
        }.get(via, f"set in {account}")
        return Provenance(
            by="app",
            told=told,
            at=change.at,
            event=change.cause,
            via=via,
            account=account,
            number=change.number,
        )


def _echo(change: Row, written: Row) -> bool:
    """Whether the observation is what our own write caused: its receipt showed it, or both carry its key."""
    if (change.input, change.cause, change.at) == (written.input, written.cause, written.at):
        return True
    seen, answer = change.detail.seen, written.detail.seen
    return seen is not None and answer is not None and seen.label is not None and seen.label == answer.label
