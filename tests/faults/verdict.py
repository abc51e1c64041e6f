"""What came of a run: both sides against the model, and what may never have happened."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tests.faults.accounts import Account, Row
from tests.faults.generator import address
from tests.faults.model import FIELDS, Model, number_in


@dataclass
class Finding:
    """One thing that is wrong: of which kind, with whom, in which field, and what each side and the model say."""

    kind: str
    connection: str
    email: str
    about: str
    told: str
    traces: list[str] = field(default_factory=list)
    """What the installation itself says about it."""
    excuse: str = ""
    """Why it couldn't have been avoided, as documented; it doesn't count then."""

    def __str__(self) -> str:
        excuse = f" (documented: {self.excuse})" if self.excuse else ""
        return f"{self.kind}: {self.connection} {self.email} {self.about}: {self.told}{excuse}"


@dataclass
class Verdict:
    """The figures of a run. All but `kills` and `changes` have to be 0."""

    kills: int = 0
    changes: int = 0
    hard_deletes: int = 0
    stale_commits: int = 0
    writes_after_quiescence: int = 0
    unrest: str = ""
    findings: list[Finding] = field(default_factory=list)

    def count(self, kind: str) -> int:
        """How many findings are of a kind: `lost`, `duplicates`, `diverged`."""
        return sum(finding.kind == kind and not finding.excuse for finding in self.findings)

    @property
    def good(self) -> bool:
        """Whether nothing is wrong."""
        wrong = self.hard_deletes + self.stale_commits + self.writes_after_quiescence
        return not (any(not finding.excuse for finding in self.findings) or wrong or self.unrest)

    def line(self, seed: int) -> str:
        """The run in one line."""
        wrong = {kind: self.count(kind) for kind in ("lost", "duplicates", "diverged")}
        figures = {
            "seed": seed,
            "kills": self.kills,
            "changes": self.changes,
            **wrong,
            "hard_deletes": self.hard_deletes,
            "stale_commits": self.stale_commits,
            "writes_after_quiescence": self.writes_after_quiescence,
        }
        told = " ".join(f"{name}={value}" for name, value in figures.items())
        return f"faults: {told}" + ("" if not self.unrest else " rest=no")


async def judge(
    pairs: Sequence[tuple[Account, Account]],
    model: Model,
    people: Iterable[tuple[int, int]],
    gone: Mapping[tuple[int, int], str],
) -> list[Finding]:
    """Compare both sides of every connection with the model.

    `people`: (pair, person) of everybody who was made. `gone`: those whose right contact a person has deleted for good.
    """
    found: list[Finding] = []
    wanted = sorted(people)
    for at, (left, right) in enumerate(pairs):
        rows = [await left.everybody(), await right.everybody()]
        for account, side in zip((left, right), rows, strict=True):
            found += _doubled(f"c{at}", account, side)
        by_email = [{row.email: row for row in side} for side in rows]
        for pair, person in wanted:
            if pair == at:
                email = address(pair, person)
                halves = by_email[0].get(email), by_email[1].get(email)
                is_gone = (pair, person) in gone
                found += _one(f"c{at}", email, (left, right), halves, model, is_gone=is_gone)
    return found


def _doubled(connection: str, account: Account, rows: Sequence[Row]) -> list[Finding]:
    counts = Counter(row.email for row in rows)
    return [
        Finding("duplicates", connection, email, "", f"{count} live contacts in {account.name}")
        for email, count in counts.items()
        if count > 1
    ]


def _one(
    connection: str,
    email: str,
    accounts: tuple[Account, Account],
    halves: tuple[Row | None, Row | None],
    model: Model,
    *,
    is_gone: bool,
) -> list[Finding]:
    left, right = halves
    if is_gone:
        if right is not None:
            return [
                Finding("duplicates", connection, email, "", f"deleted in {accounts[1].name}, and made there again")
            ]
        if left is not None and not left.tagged:
            return [Finding("lost", connection, email, "", f"deleted in {accounts[1].name}, not tagged on the left")]
        return []
    if left is None or right is None:
        there = [account.name for account, half in zip(accounts, halves, strict=True) if half is not None]
        return [Finding("lost", connection, email, "", f"only in {there}")]
    found = []
    if left.tagged:
        found.append(Finding("diverged", connection, email, "", "tagged, though nobody deleted it for good"))
    for name in FIELDS:
        here, there_ = number_in(name, left.fields[name]), number_in(name, right.fields[name])
        standing = model.standing(((accounts[0].name, email, name), (accounts[1].name, email, name)))
        told = f"left {left.fields[name]!r}, right {right.fields[name]!r}, the model {sorted(standing)}"
        if here != there_:
            found.append(Finding("diverged", connection, email, name, told))
        elif here not in standing:
            found.append(Finding("lost", connection, email, name, told))
    return found
