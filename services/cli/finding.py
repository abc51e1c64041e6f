"""One line of the doctor: what was looked at, how it is, and what to do."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence

import msgspec

from services.cli.failure import told
from services.runtime.authorize.way import Finding, State

MARKS = {"fine": "✓", "doubtful": "!", "wrong": "✗"}


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """What the doctor says of one thing. Holds no secret and no contact's data."""

    about: str
    """`store`, `log`, `webhooks`, or an account's name."""
    state: State
    told: str
    next_step: str = ""

    def __str__(self) -> str:
        """The line, and the next step under it."""
        step = f"\n    → {self.next_step}" if self.next_step else ""
        return f"{MARKS[self.state]} {self.about}: {self.told}{step}"


def of(about: str, finding: Finding) -> Line:
    """The line for something that an app's login was found good for, or not."""
    text = f"{finding.what}: {finding.told}" if finding.told else finding.what
    return Line(about=about, state=finding.state, told=text, next_step=finding.next_step)


async def looked(about: str, look: Awaitable[Sequence[Line]]) -> Sequence[Line]:
    """What a look found; what it raises is a finding, too."""
    try:
        return await look
    except (Exception, ExceptionGroup) as error:  # noqa: BLE001 - the doctor goes on to the next
        sentence = " ".join(told(error)[0].splitlines())
        return [Line(about=about, state="wrong", told=sentence, next_step="")]
