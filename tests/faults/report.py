"""A run's report, for people: the line, the figures, a table per fault, and everything that was found wrong."""

from __future__ import annotations

from collections.abc import Iterable

from tests.faults.campaign import Run
from tests.faults.house import PROOF

INTRODUCTION = """\
`make faults` runs every role as several processes on a real Kafka and a real PostgreSQL, between sandboxes that enforce
their apps' rules, while people change contacts on both sides and everything goes wrong that can. When it is over, both
sides have to be what a model says that knows only what people did and what they could see when they did it: of a
field's edits, one that nobody overruled knowingly, and the same one on both sides. `make faults QUICK=1` is a small
run, `make faults SEED=1` repeats a run's schedule. Here is what full runs told; others' reports
are in `.contactsync/faults/`."""
_FAULTS = {
    "kill": "kill -9 at a random moment",
    "point": "kill -9 at a named point",
    "stop": "a process stands still (SIGSTOP)",
    "broker": "the broker is killed, and started again",
    "postgres": "PostgreSQL is killed, and started again",
    "throttled": "an account answers 429 to everything",
    "broken": "an account answers 5xx",
    "dropped": "answers get lost after the change was made",
    "duplicates": "webhooks come three times, in any order",
    "gap": "an account's webhooks are lost",
    "poison_webhook": "a signed webhook that nobody can read",
    "poison_message": "a message in the log that nobody can read",
    "expired": "sync tokens expire",
    "access_expired": "access tokens expire",
    "revoked": "credentials are revoked, and replaced",
}


def report(run: Run, *, traces: bool = True) -> str:
    """The report as Markdown; `traces`: with what the installation knows about everything that is wrong."""
    size, verdict, changes = run.schedule.size, run.verdict, run.changes
    people = sum(pair.people for pair in size.pairs) + size.creates * len(size.pairs)
    apps = {pair.right: sum(each.right == pair.right for each in size.pairs) for pair in size.pairs}
    lines = [
        "# The fault campaign",
        "",
        INTRODUCTION,
        "",
        f"## Seed {run.schedule.seed}",
        "",
        f"`{verdict.line(run.schedule.seed)}`",
        "",
        (
            f"{size.syncs} processes of sync, {size.ingests} of ingest and {size.connectors} of connectors, a broker "
            f"of Apache Kafka, PostgreSQL; {people} contacts in {len(size.pairs)} connections of {2 * len(size.pairs)} "
            f"accounts: Stripe with {', '.join(f'{app} ({count})' for app, count in apps.items())}."
        ),
        "",
        *_table(("account", "its quota"), sorted(run.quotas.items())),
        "",
        *_table(
            ("phase", "seconds"),
            ((name, f"{seconds:.0f}") for name, seconds in (*run.took.items(), ("in all", sum(run.took.values())))),
        ),
        "",
        "### What people did",
        "",
        *_table(("what", "how often"), sorted(changes.items())),
        "",
        (
            f"Of the {changes['changes']} values that people gave, {run.carried} were written to the other side, by "
            f"{run.writes} writes. {changes['changes'] - run.carried} were coalesced: a later one took their place "
            f"before they were written, or they yielded to one of the other side that hadn't seen them, or were equal "
            f"there already. {run.held} values are held."
        ),
        "",
        "### What went wrong",
        "",
        *_table(("fault", "times", "seconds in all"), _faults(run)),
        "",
        "Points at which processes killed themselves:",
        "",
        *_table(("point", "times"), sorted(run.points.items())),
        "",
        (
            f"Clocks: {', '.join(f'{count} starts {ahead:+d} s' for ahead, count in sorted(run.skews.items()))}. "
            f"Connections reset by proxies: {run.cut}. Messages that can't be read: {run.poisoned} put into the log, "
            f"{run.parked} parked; {run.refused} unreadable webhooks refused. "
            f"Lines logged: {run.logged}, with a contact's data or a secret in them: {run.verdict.count('leaked')}."
        ),
        "",
        f"`contactsync replay --audit` of the whole run, afterwards: `{run.audit}`.",
        "",
        (
            f"How processes ended: {', '.join(f'{how} {count}' for how, count in sorted(run.exits.items()))}. "
            f"From an end to the next start's first work: {_recovery(run.recoveries)}."
        ),
        "",
        (
            f"Proofs that an app hasn't made a contact take {PROOF:g} s here, as the sandboxes show everything "
            "sooner; minutes with the real apps."
        ),
        "",
        *(
            ["Processes that ended by themselves:", "", *(f"- {_plain(end)}" for end in run.own_ends), ""]
            * bool(run.own_ends)
        ),
    ]
    if not verdict.good or verdict.findings:
        lines += ["### What is wrong, or can't be helped", ""]
        lines += [f"- stale commit: {each}" for each in run.stale]
        if verdict.unrest:
            lines += ["No rest:", "", "```", verdict.unrest, "```", ""]
        for finding in verdict.findings:
            lines += [f"#### {finding}", "", *(["```", *finding.traces, "```", ""] if traces else [])]
    return "\n".join(lines).rstrip() + "\n"


def _faults(run: Run) -> Iterable[tuple[str, str, str]]:
    for name, count in sorted(run.faults.items()):
        if name.startswith("wire "):
            _, wire, mode = name.split(" ")
            title = f"the connection to {wire}: {mode.replace('_', ' ')}"
        else:
            title = _FAULTS.get(name, name)
        yield title, str(count), str(run.seconds[name] or "")


def _table(head: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> list[str]:
    told = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    return [*told, *(f"| {' | '.join(str(cell) for cell in row)} |" for row in rows)]


def _recovery(seconds: list[float]) -> str:
    if not seconds:
        return "never"
    ordered = sorted(seconds)
    at = min(len(ordered) - 1, int(0.99 * len(ordered)))
    return f"median {ordered[len(ordered) // 2]:.1f} s, 99th percentile {ordered[at]:.1f} s, most {ordered[-1]:.1f} s"


def _plain(text: str) -> str:
    return text.replace("`", "'").replace("\n", " ")
