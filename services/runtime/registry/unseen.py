"""Custom fields that no contact of the account has: most likely a slip of the pen (SEMANTICS D3)."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from collections.abc import Set as AbstractSet

from services.contracts.contact import Side
from services.runtime.registry.pair import Pair
from services.runtime.registry.problem import Mark, Report, listed, quoted

_NAMED = 3


class Unseen:
    """Doubts keys that were never seen. `seen`: account -> the keys its contacts have; without an account, no doubt."""

    def __init__(self, report: Report, seen: Mapping[str, AbstractSet[str]]) -> None:
        self._report = report
        self._seen = seen

    def doubt(self, mark: Mark, pair: Pair, side: Side, path: str, written: str, *, read: bool) -> None:
        """Warn about a key that no contact has. One that is only written may be new: then only if it resembles one."""
        custom, keys = pair.apps[side].custom, self._seen.get(pair.accounts[side])
        if custom is None or keys is None or not path.startswith(custom.prefix):
            return
        key = path.removeprefix(custom.prefix)
        if key in keys:
            return
        near = _nearest(key, keys)
        if near or read:
            self._report.warning(
                mark,
                f"no contact of {pair.told(side)} has the {custom.title} {quoted(written.partition('.')[2])} so far",
                f"Did you mean {listed([custom.prefix + each for each in near], 'or')}? Keys are spelt exactly, "
                "capitals included."
                if near
                else "Nothing to do if it is new.",
            )


def _nearest(key: str, keys: AbstractSet[str]) -> list[str]:
    """The keys most like it, likeness to capitals aside."""
    folded: dict[str, list[str]] = {}
    for each in sorted(keys):
        folded.setdefault(_bare(each), []).append(each)
    close = difflib.get_close_matches(_bare(key), folded, n=_NAMED, cutoff=0.6)
    return [each for match in close for each in folded[match]][:_NAMED]


def _bare(key: str) -> str:
    return key.lower().replace("-", "_").replace(" ", "_")
