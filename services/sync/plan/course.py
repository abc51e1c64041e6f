"""A world that goes on by itself: who waits is woken, what is due comes, and every command is answered at once."""

import heapq
from collections import Counter, defaultdict, deque
from collections.abc import Callable

from services.contracts.commands import Command, Find, Look, Write
from services.contracts.envelope import derived
from services.sync.configs import Configs
from services.sync.core.state import Decision, Link
from services.sync.core.take import Input, Reconsider, Sighted
from services.sync.plan.obedient import Named, answered, named_for
from services.sync.plan.trial import Trial
from services.sync.transact import Cause

_WOKEN = frozenset({"address", "duplicate", "receipt", "look", "deletions"})
"""Waits that end with something else than time."""
_MOST = 200
"""Times that one input has one link considered, at most: more would be a circle."""

Noted = Callable[[Write, Trial], None]
"""Told of each write before it is done."""


class Course:
    """Takes inputs into a world under given rules. It sends nothing and stores nothing.

    `now`: microseconds since 1970, the moment that the first input is decided at.
    """

    def __init__(self, world: Trial, configs: Configs, *, now: int, noted: Noted, named: Named = named_for) -> None:
        self.world = world
        self.configs = configs
        self.now = now
        self.last: dict[str, Decision] = {}
        """The last decision about each link."""
        self.inputs = 0
        self._noted = noted
        self._named = named
        self._queue: deque[Input] = deque()
        self._due: list[tuple[int, str]] = []
        self._waiting: defaultdict[str, set[str]] = defaultdict(set)
        """What is waited for -> links that do."""
        self._waits: dict[str, str] = {}
        self._often: Counter[str] = Counter()
        for link in world.links():
            self._index(link)

    def take(self, *items: Input) -> None:
        """Take inputs in, and everything that comes of them at this moment."""
        self._often.clear()
        self._queue.extend(items)
        while self._queue:
            self._fold(self._queue.popleft())

    def until(self, moment: int) -> None:
        """Let time pass up to that moment: what comes due is decided, in its order."""
        while self._due and self._due[0][0] <= moment:
            at, link_id = heapq.heappop(self._due)
            link = self.world.link(link_id)
            if link is not None and link.reconsider_at == at:
                self.now = max(self.now, at)
                self.take(Reconsider(link=link_id))
        self.now = max(self.now, moment)

    def _fold(self, item: Input) -> None:
        if isinstance(item, Reconsider):
            self._often[item.link] += 1
            if self._often[item.link] > _MOST:
                return
        self.inputs += 1
        cause = Cause(item=item, type=_type(item), id=derived("course", str(self.inputs)))
        _, state, _ = self.world.fold([cause], self.configs, now=self.now)
        for link_id in state.dirty_links:
            link = state.links[link_id]
            self._index(link)
            if link.reconsider_at is not None:
                heapq.heappush(self._due, (link.reconsider_at, link_id))
        for decision in state.decisions:
            self.last[decision.link] = decision
        woken = {link_id for freed in state.freed for link_id in self._waiting.get(freed, ())}
        self._queue.extend(Reconsider(link=link_id) for link_id in sorted(woken))
        for command, _ in state.commands:
            self._answer(command)

    def _answer(self, command: Command) -> None:
        if not isinstance(command, Look | Find):
            self._noted(command, self.world)
        answer = answered(self.world, command, self._named)
        if answer is not None:
            self._queue.append(answer)

    def _index(self, link: Link) -> None:
        known = self._waits.pop(link.id, None)
        if known is not None:
            self._waiting[known].discard(link.id)
        if link.wait is not None and link.wait.reason in _WOKEN:
            self._waits[link.id] = link.wait.on
            self._waiting[link.wait.on].add(link.id)


def _type(item: Input) -> str:
    match item:
        case Reconsider():
            return "reconsider"
        case Sighted():
            return "sighted"
        case _:
            return type(item).__name__
