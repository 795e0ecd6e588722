"""Numbers to Markdown."""

import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peers import ADAPTERS, Adapter
from works import LOAD, WORKS, Work

BEGIN, END = "<!-- benchmarks: begin -->", "<!-- benchmarks: end -->"
OURS = "PoofDB"

Results = dict[str, Any]


@dataclass(frozen=True)
class Target:
    """PoofDB is at least so many times as good as a peer, in the same round."""

    work: str
    peer: str
    least: float
    peers_work: str = ""
    """Where it is not the same work."""


TARGETS = (
    Target("find-warm", "aiosqlite", 5),
    Target("find-warm", "SQLCipher", 1.2),
    Target("insert", "aiosqlite", 1.5),
    Target("insert", "SQLCipher", 1),
    Target("update", "SQLCipher", 0.8),
    Target("delete", "SQLCipher", 0.8),
    Target("insert-at-once", "aiosqlite", 5),
    Target("load", "SQLCipher", 1),
    Target("find-all", "SQLCipher", 0.9),
    Target("open", "SQLCipher", 1 / 3),
    Target("equal-indexed", "TinyDB", 20),
    Target("equal-indexed", "TinyDB in memory", 20),
    Target("equal-indexed", "APSW", 0.5),
    Target("equal", "TinyDB", 5),
    Target("equal", "TinyDB in memory", 5),
    Target("equal", "mongomock", 5),
    Target("contains-indexed", OURS, 50, "contains"),
)
TARGET_SIZE = "100000"


def number(value: float) -> str:
    """Three digits that count."""
    if value >= 100:
        digits = len(str(int(value))) - 3
        return f"{round(value, -digits):,.0f}"
    return f"{value:.3g}" if value >= 0.001 else f"{value:.1e}"


def with_unit(value: float, unit: str) -> str:
    return f"{number(value)}{unit}" if unit == "/s" else f"{number(value)} {unit}"


def ratio(work: Work, ours: list[float], theirs: list[float]) -> float:
    """How many times as good PoofDB is: the median over the rounds that both did."""
    pairs = zip(ours, theirs, strict=False)  # a slow peer has done fewer
    return statistics.median(a / b if work.unit == "/s" else b / a for a, b in pairs)


def of_peers(results: Results, size: str, work: Work) -> dict[str, list[float]]:
    """What was measured before a peer was ended counts; but a part of the documents is not all of them."""
    values: dict[str, list[float]] = results["values"].get(size, {}).get(work.name, {})
    ended = results["words"].get(size, {}).get(work.name, {}) if work is LOAD else {}
    return {peer: rounds for peer, rounds in values.items() if peer not in ended}


def cell(results: Results, size: str, work: Work, peer: str) -> str:
    values = of_peers(results, size, work)
    if peer not in values:
        return str(results["words"].get(size, {}).get(work.name, {}).get(peer, "-"))
    text = with_unit(statistics.median(values[peer]), work.unit)
    if peer == OURS or OURS not in values:
        return text
    return f"{text} ({number(ratio(work, values[OURS], values[peer]))}x)"


def table(heading: list[str], rows: list[list[str]]) -> list[str]:
    lines = [f"| {' | '.join(heading)} |", "|---" + "|---:" * (len(heading) - 1) + "|"]
    return [*lines, *(f"| {' | '.join(row)} |" for row in rows), ""]


def measured(results: Results, size: str) -> list[Work]:
    return [work for work in WORKS if work.name in results["values"].get(size, {})]


def peers_table(results: Results, size: str, peers: list[Adapter]) -> list[str]:
    names = [adapter.name for adapter in peers if adapter.name in results["peers"]]
    if not names:
        return []
    names = [OURS, *(name for name in names if name != OURS)]
    rows = [[work.title, *(cell(results, size, work, name) for name in names)] for work in measured(results, size)]
    return table(["", *names], rows)


def growth_table(results: Results) -> list[str]:
    sizes = list(results["values"])
    works = {work.name: work for size in sizes for work in measured(results, size)}
    rows = [[work.title, *(cell(results, size, work, OURS) for size in sizes)] for work in works.values()]
    return table([f"{OURS}, documents", *(f"{int(size):,}" for size in sizes)], rows)


def targets_table(results: Results) -> list[str]:
    values = results["values"].get(TARGET_SIZE, {})
    works = {work.name: work for work in WORKS}
    rows = []
    for target in TARGETS:
        ours = values.get(target.work, {}).get(OURS)
        theirs = values.get(target.peers_work or target.work, {}).get(target.peer)
        if ours and theirs:
            peer = target.peer if not target.peers_work else works[target.peers_work].title
            reached = ratio(works[target.work], ours, theirs)
            met = "yes" if reached >= target.least else "no"
            rows.append([works[target.work].title, peer, f"{number(target.least)}x", f"{number(reached)}x", met])
    if not rows:
        return []
    return ["### Set, and reached", "", *table(["work", "against", "at least", "reached", "met"], rows)]


def loop_tables(results: Results) -> list[str]:
    if "lateness" not in results:
        return []
    rows = [[work, *(f"{value:.2f} ms" for value in late)] for work, late in results["lateness"].items()]
    heading = ["while this runs", "a 1 ms timer is late: median", "99th percentile", "worst"]
    count = f"{results['loop documents']:,}"
    return [
        f"### The event loop, with {count} documents",
        "",
        *table(heading, rows),
        f"Peak memory of a process that streams {count} documents in and out: {results['stream']:.0f} MiB.",
        "",
    ]


def costs_tables(results: Results) -> list[str]:
    if "costs" not in results:
        return []
    costs = results["costs"]
    pages = costs["pages"]
    rows = []
    for work, cost in costs["works"].items():
        cryptography = cost["sealed"] * pages["seal"] + cost["opened"] * pages["open"]
        rest = max(0.0, cost["us"] - cryptography - cost["json"])
        counts = [f"{cost[kind]:.3g}" if cost[kind] else "0" for kind in ("sealed", "opened")]
        rows.append([work, *(f"{value:.1f} us" for value in (cost["us"], cryptography, cost["json"], rest)), *counts])
    heading = ["one document of a", "in all", "pages", "JSON", "SQLite, system, Python", "pages sealed", "opened"]
    return [
        f"### Where time goes, with {costs['documents']:,} documents",
        "",
        *table(heading, rows),
        *table(["one page of 8 KiB", "microseconds"], [[name, f"{value:.1f}"] for name, value in pages.items()]),
    ]


def report(results: Results) -> str:
    lines = [f"Measured on {results['machine']}. Versions: {results['versions']}.", ""]
    for size in results["values"]:
        lines += [f"### {int(size):,} documents", "", "Encrypted:", ""]
        lines += peers_table(results, size, [adapter for adapter in ADAPTERS if adapter.encrypted])
        lines += ["Not encrypted:", ""]
        lines += peers_table(results, size, [adapter for adapter in ADAPTERS if not adapter.encrypted])
    if len(results["values"]) > 1:
        lines += ["### Growth", "", *growth_table(results)]
    return "\n".join([*lines, *targets_table(results), *loop_tables(results), *costs_tables(results)]).strip() + "\n"


def write_report(path: Path, text: str) -> None:
    """Writes the report between the markers of a file that has them; else as the file."""
    old = path.read_text() if path.exists() else ""
    before, begin, rest = old.partition(BEGIN)
    _, end, after = rest.partition(END)
    path.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{after}" if begin and end else text)
