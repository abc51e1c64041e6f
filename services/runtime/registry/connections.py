"""The `connections` part of the file, against the accounts and what their apps can do."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import get_args

from services.contracts.app import Ability
from services.contracts.connection import Connection, Deletions, Direction, Options
from services.contracts.contact import SIDES, Side
from services.contracts.rule import PermitEmail, Rule
from services.runtime.registry.accounts import CheckedAccount
from services.runtime.registry.document import Entry, Node, Table
from services.runtime.registry.form import Form
from services.runtime.registry.lines import Lines
from services.runtime.registry.pair import INTO, OTHER, Pair
from services.runtime.registry.plans import Known
from services.runtime.registry.problem import Mark, Report, listed, nearest, quoted
from services.runtime.registry.rules import Flow, Rules

EXAMPLE = "`connections:` with a line per connection, such as `shop-office: {left: shop, right: office}`"
DIRECTIONS: tuple[Direction, ...] = get_args(Direction)
DELETIONS: tuple[Deletions, ...] = get_args(Deletions)
_REPORTS = {
    "sync_deletions": (Ability.DETECT_DELETION, "deletions"),
    "sync_unsubscribes": (Ability.DETECT_UNSUBSCRIBE, "unsubscribes"),
}
"""Option -> what one side has to report, and how that is told."""


class Connections:
    """Reads connections."""

    def __init__(
        self,
        form: Form,
        accounts: Mapping[str, CheckedAccount],
        seen: Mapping[str, AbstractSet[str]] | None = None,
        plans: Mapping[str, Known] | None = None,
    ) -> None:
        self._form = form
        self._report: Report = form.report
        self._lines = Lines(form, seen)
        self._rules = Rules(form, plans)
        self._accounts = accounts
        self._pairs: dict[frozenset[str], tuple[str, Mark]] = {}
        self.used: set[str] = set()

    def read(self, node: Node) -> tuple[Connection, ...]:
        """Every connection that can be made out; with an error in the report they are of no use."""
        table = self._form.table(node, "`connections`", EXAMPLE)
        made = [self._connection(entry) for entry in table.entries] if table else []
        return tuple(connection for connection in made if connection)

    def _connection(self, entry: Entry) -> Connection | None:
        name = self._form.name(entry, "a connection")
        what = f"connection {quoted(name)}"
        table = self._form.table(entry.value, what, "`{left: ACCOUNT, right: ACCOUNT}`")
        if table is None:
            return None
        known = ["left", "right", "direction", "winner", "options", "rules", "mappings"]
        self._form.keys(table, what, known, {})
        accounts = {side: account for side in SIDES if (account := self._account(table, side, what, entry.mark))}
        apps = {
            side: checked.manifest
            for side, account in accounts.items()
            if (checked := self._accounts.get(account)) and checked.manifest
        }
        pair = Pair(name, what, entry.mark, apps, accounts)
        self._different(table, pair)
        direction = self._direction(table, pair)
        winner = self._winner(table, pair, direction)
        options = self._options(table, pair)
        mappings = self._lines.mappings(table, pair)
        rules = self._rules.read(table, pair, Flow(direction, mappings))
        if direction:
            self._advise(pair, direction, rules)
        return Connection(
            name=name,
            left=accounts.get("left", ""),
            right=accounts.get("right", ""),
            direction=direction or "two_way",
            winner=winner,
            options=options,
            rules=rules,
            mappings=mappings,
        )

    def _account(self, table: Table, side: Side, what: str, mark: Mark) -> str | None:
        names = list(self._accounts)
        entry = table.get(side)
        if entry is None:
            self._form.missing(mark, what, side, next(iter(names), "ACCOUNT"))
            return None
        text = self._form.text(entry.value, f"`{side}` of {what}", "the name of an account")
        if text is None:
            return None
        if text.value not in self._accounts:
            meant = nearest(text.written, names)
            remedy = f"Write {listed(names, 'or')}, or add the account." if names else "Add it under `accounts:`."
            self._report.error(
                text.mark,
                f"there is no account {quoted(text.written)}",
                f"Did you mean `{meant}`?" if meant else remedy,
            )
            return None
        self.used.add(text.value)
        return text.value

    def _different(self, table: Table, pair: Pair) -> None:
        if len(pair.accounts) < 2:
            return
        both = frozenset(pair.accounts.values())
        right = table.get("right")
        if len(both) == 1 and right:
            self._report.error(
                right.value.mark,
                f"both sides of {pair.what} are the account {quoted(pair.accounts['left'])}",
                "Name two different accounts.",
            )
        elif first := self._pairs.get(both):
            self._report.warning(
                pair.mark,
                f"{pair.what} pairs the same accounts as {quoted(first[0])} (line {first[1].line})",
                "Keep one of them, unless each is meant for other contacts.",
            )
        else:
            self._pairs[both] = (pair.name, pair.mark)

    def _direction(self, table: Table, pair: Pair) -> Direction | None:
        entry = table.get("direction")
        if entry is None:
            return "two_way"
        return self._form.choice(entry.value, f"`direction` of {pair.what}", DIRECTIONS)

    def _winner(self, table: Table, pair: Pair, direction: Direction | None) -> Side:
        entry = table.get("winner")
        if entry is None:
            return "left"
        winner = self._form.choice(entry.value, f"`winner` of {pair.what}", SIDES)
        if winner and direction and direction != "two_way":
            self._report.error(
                entry.mark,
                f"{pair.what} goes one way, {quoted(direction)}: there the source always wins",
                "Remove `winner`.",
            )
        return winner or "left"

    def _options(self, table: Table, pair: Pair) -> Options:
        entry = table.get("options")
        if entry is None:
            return Options()
        what = f"`options` of {pair.what}"
        options = self._form.table(entry.value, what, "`{sync_deletions: right_to_left}`, or remove it")
        if options is None:
            return Options()
        self._form.keys(options, what, ["avoid_duplicates", "sync_deletions", "sync_unsubscribes", "most_writes"], {})
        avoid, most = options.get("avoid_duplicates"), options.get("most_writes")
        chosen: bool | None = True
        if avoid:
            chosen = self._form.boolean(avoid.value, f"`avoid_duplicates` of {pair.what}", "`true` or `false`")
        return Options(
            avoid_duplicates=chosen is not False,
            sync_deletions=self._tagged(options, pair, "sync_deletions"),
            sync_unsubscribes=self._tagged(options, pair, "sync_unsubscribes"),
            most_writes=self._most(most, pair) if most else Options().most_writes,
        )

    def _most(self, entry: Entry, pair: Pair) -> int:
        text = self._form.text(entry.value, f"`most_writes` of {pair.what}", "`12`")
        if text is None:
            return 0
        if not (text.value.isascii() and text.value.isdigit() and len(text.value) <= 6):
            self._report.error(
                text.mark,
                f"`most_writes` of {pair.what} is a number of writes to one contact in ten minutes, not "
                f"{quoted(text.written)}",
                "Write `12`, or `0` for any number.",
            )
            return 0
        return int(text.value)

    def _tagged(self, options: Table, pair: Pair, key: str) -> Deletions:
        """An option that shows what happens on one side as a tag on the other, where both apps can (A7)."""
        entry = options.get(key)
        if entry is None:
            return "none"
        ability, verb = _REPORTS[key]
        chosen = self._form.choice(entry.value, f"`{key}` of {pair.what}", DELETIONS)
        if chosen is None or chosen == "none" or len(pair.apps) < 2:
            return chosen or "none"
        lacking: dict[Side, str] = {}
        for side in SIDES:
            if ability not in pair.apps[OTHER[side]].abilities:
                lacking[side] = f"{pair.told(OTHER[side])} doesn't report {verb}"
            elif Ability.TAG not in pair.apps[side].abilities:
                lacking[side] = f"{pair.told(side)} doesn't take tags"
        wanted = [side for side in SIDES if chosen in {"both", INTO[side]}]
        if reasons := [lacking[side] for side in wanted if side in lacking]:
            offered = ["none", *(INTO[side] for side in SIDES if side not in lacking)]
            remedy = f"Write {listed(offered, 'or')}." if len(offered) > 1 else f"Remove `{key}`."
            self._report.error(
                entry.value.mark, f"{pair.what} can't have {key} {quoted(chosen)}: {'; '.join(reasons)}", remedy
            )
        return chosen

    def _advise(self, pair: Pair, direction: Direction, rules: tuple[Rule, ...]) -> None:
        """A3: an e-mail changed elsewhere would redirect what the guarded side's app sends to it."""
        guarded = [side for side, app in pair.apps.items() if any(field.guarded for field in app.fields)]
        if len(guarded) == 1 and len(pair.apps) == 2 and direction != INTO[OTHER[guarded[0]]]:
            side = guarded[0]
            let = any(PermitEmail() in rule.actions for rule in rules if rule.source == OTHER[side])
            self._report.hint(
                pair.mark,
                f"`direction: {INTO[OTHER[side]]}` is recommended for {pair.told(side)}: its receipts go "
                "to the e-mail that is written there (a changed one waits for a yes: `contactsync held`"
                f"{', but where `update_email` lets it through' if let else ''})",
            )
