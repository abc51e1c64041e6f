"""The whole state machine: besides people, the transport, the apps and time. Every draw is Hypothesis'."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import (
    MultipleResults,
    multiple,
    precondition,
    rule,
)

from tests.simulation.account import SECOND
from tests.simulation.conduct import Conduct
from tests.simulation.drawing import (
    CALM,
    FAULTS,
    INDEX,
    MEANWHILE,
    MOVES,
    OUTCOMES,
    TIMES,
    Drawn,
    Edit,
    Key,
    one_of,
    people,
)
from tests.simulation.story import nothing


class Machine(Conduct):
    """Everything that may happen to a world."""

    # What the transport does -------------------------------------------------------------------------------

    @precondition(lambda self: bool(self.world.bag))
    @rule(picks=st.lists(INDEX, min_size=1, max_size=6), micros=TIMES, meanwhile=MEANWHILE, behind=st.booleans())
    def deliver(self, picks: list[int], micros: int, meanwhile: Edit | None, behind: bool) -> None:
        """Messages arrive, in any order."""
        self._step("deliver")
        self._send(picks, micros, meanwhile, behind=behind)

    @rule(target=people, moves=st.lists(MOVES, min_size=1, max_size=12), micros=TIMES)
    def stir(self, moves: list[tuple[str, int, str]], micros: int) -> MultipleResults[Key]:
        """A while of everything that goes on without people."""
        self._step("stir")
        before = self._known()
        moved = [self._move(what, which, Drawn(FAULTS[fault], micros)) for what, which, fault in moves]
        if not any(moved):
            self._idle()
        return multiple(*sorted(self._known() - before))

    @rule(target=people, count=st.integers(1, 25), micros=TIMES)
    def flow(self, count: int, micros: int) -> MultipleResults[Key]:
        """A while without faults: messages arrive in the order in which they were sent."""
        self._step("flow")
        before = self._known()
        drawn = Drawn(1.0, micros)
        moved = [any(self._move(what, 0, drawn) for what in CALM) for _ in range(count)]
        if not any(moved):
            self._idle()
        return multiple(*sorted(self._known() - before))

    @precondition(lambda self: bool(self.world.bag))
    @rule(which=INDEX, micros=TIMES)
    def double(self, which: int, micros: int) -> None:
        """A message arrives that will arrive again."""
        self._step("double")
        bag = self.world.bag
        if not bag or not self.world.deliver(bag[which % len(bag)], Drawn(1.0, micros), nothing, twice=True):
            self._idle()

    @precondition(lambda self: self.lossy and bool(self._losable()))
    @rule(which=INDEX)
    def lose(self, which: int) -> None:
        """A command or its answer vanishes from the log."""
        self._step("lose")
        message = one_of(self._losable(), which)
        self.world.tell(f"{message.told} vanishes")
        self.world.bag.remove(message)

    # What the apps do --------------------------------------------------------------------------------------

    @precondition(lambda self: bool(self._entries()))
    @rule(
        target=people,
        picks=st.lists(st.tuples(INDEX, OUTCOMES), min_size=1, max_size=3),
        micros=TIMES,
        meanwhile=MEANWHILE,
    )
    def work(self, picks: list[tuple[int, str]], micros: int, meanwhile: Edit | None) -> MultipleResults[Key]:
        """Connectors go on with writes: they are sent, get lost, are proved, or are put off."""
        self._step("work")
        before = self._known()
        worked = [self._work(which, Drawn(FAULTS[fault], micros), self._between(meanwhile)) for which, fault in picks]
        if not any(worked):
            self._idle()
        return multiple(*sorted(self._known() - before))

    @rule(whence=st.sampled_from(["feed", "feed", "shop", "office", "till"]), micros=TIMES, meanwhile=MEANWHILE)
    def read(self, whence: str, micros: int, meanwhile: Edit | None) -> None:
        """The office is asked what has changed, or an account is read from end to end."""
        self._step("poll" if whence == "feed" else "scan")
        drawn, between = Drawn(1.0, micros), self._between(meanwhile)
        if whence == "feed":
            self.world.poll(drawn, between)
        elif whence in self.world.accounts:
            self.world.scan(whence, drawn, between)
        else:
            self._idle()

    # Time --------------------------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([0.3, 1, 2, 5, 20, 700]))
    def wait(self, seconds: float) -> None:
        """Time passes."""
        self._step("wait")
        self.world.pass_time(round(seconds * SECOND))

    @precondition(lambda self: bool(self.world.due() or self.world.unanswered()))
    @rule(picks=st.lists(INDEX, min_size=1, max_size=4), behind=st.booleans())
    def sweep(self, picks: list[int], behind: bool) -> None:
        """Links whose time has come are decided again, and looks that nobody answered are asked again."""
        self._step("sweep")
        self.world.behind = behind
        late = [look for at, look in self.world.unanswered() if at <= self.world.now]
        if late:
            self.world.fold(late[0], f"a look at {late[0].contact_id} that nobody answered")
        elif not self.world.due():
            self._idle()
        for which in picks:
            due = self.world.due()
            if due:
                self.world.sweep(due[which % len(due)])
