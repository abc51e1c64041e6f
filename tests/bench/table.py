"""The rows as a table of Markdown, and as JSON."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec
from msgspec.structs import replace

from tests.bench.row import Measured, Row

_HEAD = (
    "| | workload | unit | ours | limit | ours/limit | peer | ours/peer | target | | CPU each | memory each |",
    "|---|---|---|---|---|---|---|---|---|---|---|---|",
)


INTRODUCTION = """\
# Benchmarks

Speed is measured as ratios within one run on one machine: our figure beside the physical limit of the same work there,
and beside what one would take instead. `make bench` measures this page, with `QUICK=1` a taste of it within a minute
and with `ARGS="B1 B4"` a part. Every figure is the median of its runs, with the least and the greatest behind it; in
each round all competitors run once, in turns, and a ratio is the median over the rounds. Where latency is told, the
clients send at their times whatever becomes of it (open loop). Peers are installed in an environment of their own, from
`tests/bench/peers.txt`. The bench itself sees to it that nothing is fast because it may be lost: PostgreSQL runs with
`fsync`, `full_page_writes` and `synchronous_commit` on, and the Kafka producer waits for all copies (`acks=all`) and is
idempotent; otherwise a row is broken, which alone makes `make bench` fail. It runs on Linux."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """All that one run of the bench came to."""

    machine: str
    command: str
    began: str
    seconds: float
    rows: tuple[Row, ...]
    broken: tuple[tuple[str, str], ...] = ()
    """(part, what went wrong): measurements that are worth nothing."""


def joined(report: Report, page: Path) -> Report:
    """Return the report with the rows of other parts that the page has from before, each with its time."""
    try:
        before = msgspec.json.decode(page.with_suffix(".json").read_bytes(), type=Report)
    except (OSError, msgspec.MsgspecError):
        return report
    measured = {row.id for row in report.rows} | {part for part, _ in report.broken}
    kept = [
        replace(row, when=row.when or f"in a run of {before.began} UTC")
        for row in before.rows
        if row.id not in measured
    ]
    return replace(report, rows=in_order([*report.rows, *kept]))


def in_order(rows: Iterable[Row]) -> tuple[Row, ...]:
    """Return the rows by their numbers."""
    return tuple(sorted(rows, key=lambda row: int(row.id[1:])))


def markdown(report: Report) -> str:
    """Return the table with its notes."""
    lines = [
        INTRODUCTION,
        "",
        f"`{report.command}`, {report.began} UTC, {report.seconds:.0f} s, on {report.machine}.",
        "",
        *_HEAD,
        *map(_line, report.rows),
        "",
    ]
    causes = set[str]()
    for row in report.rows:
        told = [*row.notes, *_names(row), *([f"measured {row.when}"] if row.when else [])]
        lines.append(f"- **{row.id}** {row.workload}: " + "; ".join(told) + ".")
        if row.cause not in causes and row.cause and row.verdict == "missed":
            causes.add(row.cause)
            lines.append(f"  What stands in the way: {row.cause}")
    lines += [f"- **{part}** BROKEN: {reason}" for part, reason in report.broken]
    return "\n".join(lines) + "\n"


def text(report: Report, width: int = 30) -> str:
    """Return the table for a terminal: a line per row."""
    columns = [("", "workload", "ours", "limit", "o/l", "peer", "o/p", "target", "", "CPU/event")]
    columns += [
        (
            *(row.id, row.workload, f"{_figure(row.ours)} {row.unit}", _figure(row.limit), _ratio(row.to_limit)),
            *(_figure(row.peer), _ratio(row.to_peer), row.target.words() if row.target else "", row.verdict),
            _cpu(row.ours),
        )
        for row in report.rows
    ]
    wide = [max(len(line[at]) for line in columns) for at in range(len(columns[0]))]
    lines = ["  ".join(cell.ljust(size) for cell, size in zip(line, wide, strict=True)).rstrip() for line in columns]
    lines += [f"{part} BROKEN: {reason}" for part, reason in report.broken]
    return "\n".join(lines)


def write(report: Report, page: Path) -> None:
    """Write the table to `page` and the JSON beside it."""
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(markdown(report), "utf-8")
    page.with_suffix(".json").write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2))


def _line(row: Row) -> str:
    cells = (
        row.id,
        row.workload,
        row.unit,
        _spread(row.ours),
        _spread(row.limit),
        _ratio(row.to_limit),
        _spread(row.peer),
        _ratio(row.to_peer),
        row.target.words() if row.target else "-",
        row.verdict,
        _cpu(row.ours),
        _bytes(row.ours.memory),
    )
    return f"| {' | '.join(cells)} |"


def _names(row: Row) -> list[str]:
    told = []
    for part, one in (("limit", row.limit), ("peer", row.peer)):
        if one is None:
            continue
        aside = [f"CPU {_cpu(one)}"] if one.cpu is not None else []
        aside += [f"memory {_bytes(one.memory)}"] if one.memory is not None else []
        told.append(f"{part}: {one.name}" + (f" ({', '.join(aside)})" if aside else ""))
        if one.missing:
            told[-1] += f", not measured: {one.missing}"
    told.append(f"{len(row.ours.runs)} run" + "s" * (len(row.ours.runs) != 1))
    return told


def _figure(one: Measured | None) -> str:
    return _number(one.median) if one is not None and one.median is not None else "-"


def _spread(one: Measured | None) -> str:
    if one is None or one.median is None:
        return "-"
    least, most = min(one.values), max(one.values)
    return f"{_number(one.median)} ({_number(least)} to {_number(most)})" if len(one.runs) > 1 else _number(one.median)


def _number(value: float) -> str:
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}" if value < 100 else f"{value:,.0f}"


def _cpu(one: Measured) -> str:
    if one.cpu is None:
        return "-"
    return f"{one.cpu * 1000:.3g} ms" if one.cpu >= 0.001 else f"{one.cpu * 1e6:.3g} µs"


def _bytes(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value / 1e6:.3g} MB" if value >= 1e6 else f"{value / 1e3:.3g} KB" if value >= 1e3 else f"{value:.0f} B"
