"""Plans that a rule names and its account doesn't have: most likely a slip of the pen (SEMANTICS B3)."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from services.contracts.connection import Connection
from services.contracts.contact import Side
from services.contracts.rule import SubscribedTo
from services.runtime.app import Catalog, Plan
from services.runtime.registry.pair import Pair
from services.runtime.registry.problem import Mark, Report, quoted

_NAMED = 3
_FEW = 5
"""So many plans are named even where none resembles the one in the file."""


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of an account's plans."""

    seen: AbstractSet[str] | None = None
    """Names of the plans that subscriptions of its contacts are or were to; None before all contacts were read."""
    catalog: Catalog | None = None
    """What the app listed; None if it wasn't asked, or didn't answer."""


class Plans:
    """Doubts plans. `known`: account -> what is known of its plans; without an account, no doubt."""

    def __init__(self, report: Report, known: Mapping[str, Known]) -> None:
        self._report = report
        self._known = known

    def doubt(self, mark: Mark, pair: Pair, side: Side, plan: str, written: str) -> None:
        """Warn about a plan that the account doesn't have. `written`: the plan as the file spells it."""
        known = self._known.get(pair.accounts[side], Known())
        seen, catalog = known.seen or frozenset(), known.catalog
        plans = {name: listed for listed in (catalog.plans if catalog else ()) for name in listed.names}
        if plan in plans or plan in seen:
            return
        told, name = pair.told(side), quoted(written)
        if catalog is not None and not catalog.whole:
            self._report.hint(
                mark, f"{told} has more plans than were listed, and {name} isn't among the {len(catalog.plans)} newest"
            )
        elif catalog is not None:
            self._report.warning(mark, f"{told} has no plan {name}", _remedy(plan, plans, seen))
        elif known.seen is not None:
            near = _near(plan, plans, seen)
            self._report.warning(
                mark,
                f"no subscription of {told} is or was to a plan {name}",
                f"Did you mean {_either(near)}? Plans are spelt exactly, capitals included."
                if near
                else "Nothing to do if nobody subscribed to it so far.",
            )


def asked_for(connections: Iterable[Connection]) -> frozenset[str]:
    """Return the accounts whose contacts are asked for a plan."""
    return frozenset(
        connection.left if rule.source == "left" else connection.right
        for connection in connections
        for rule in connection.rules
        if any(isinstance(condition, SubscribedTo) for condition in rule.conditions)
    )


def _remedy(plan: str, plans: Mapping[str, Plan], seen: AbstractSet[str]) -> str:
    if near := _near(plan, plans, seen):
        return f"Did you mean {_either(near)}? Plans are spelt exactly, capitals included."
    there = list(dict.fromkeys(_shown(each.names[0], each) for each in plans.values()))
    if not there:
        return "It has none yet."
    if len(there) <= _FEW:
        return f"There {'is' if len(there) == 1 else 'are'} {_either(there, 'and')}."
    return f"Write one of its {len(there)} plans: a price's id, a product's id or a lookup key, spelt exactly."


def _near(plan: str, plans: Mapping[str, Plan], seen: AbstractSet[str]) -> list[str]:
    """The plans most like it, by their names and by what people call them; likeness to capitals aside."""
    folded: dict[str, list[str]] = {}
    for name in sorted({*plans, *seen}):
        folded.setdefault(_bare(name), []).append(_shown(name, plans.get(name)))
    for listed in plans.values():
        if listed.title:
            folded.setdefault(_bare(listed.title), []).append(_shown(listed.names[0], listed))
    close = difflib.get_close_matches(_bare(plan), folded, n=_NAMED, cutoff=0.6)
    return list(dict.fromkeys(each for match in close for each in folded[match]))[:_NAMED]


def _shown(name: str, plan: Plan | None) -> str:
    """A plan's name, and what people call it; whatever the app had in there stays on its line."""
    title = "".join(each for each in (plan.title if plan else "") if each.isprintable())[:40].strip()
    plain = "".join(each for each in name if each.isprintable())
    return f"`{plain}`{f' ({title})' if title else ''}"


def _either(shown: list[str], last: str = "or") -> str:
    return " ".join(filter(None, [", ".join(shown[:-1]), last if len(shown) > 1 else "", shown[-1]]))


def _bare(name: str) -> str:
    return name.lower().replace("-", "_").replace(" ", "_")
