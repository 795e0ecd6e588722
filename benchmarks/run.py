"""PoofDB beside its peers: one command measures every number that the documents state, in one run.

    python -m pip install '.[bench]'
    python benchmarks/run.py --json numbers.json --markdown docs/performance.md --charts docs/charts

Each peer works in a process of its own; within each round all do the same work, one after the other. A number is the
median of the rounds, and a ratio the median of the ratios within a round. A peer that takes too long for a work does
fewer rounds of it; where a single call takes too long, its process is ended and the table says so.
"""

import argparse
import asyncio
import contextlib
import json
import platform
import subprocess
import sys
import tempfile
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from environments import python_for
from measuring import Numbers, Plan, measure_size
from peers import ADAPTERS
from report import OURS, Results, report, write_report
from works import LOAD, WORKS

SIZES = [1_000, 100_000, 1_000_000]
TARGETS = "PoofDB", "SQLCipher", "aiosqlite", "APSW", "TinyDB", "TinyDB in memory", "mongomock"
PACKAGES = (
    "cryptography",
    "apsw",
    "sqlcipher3-wheels",
    "aiosqlite",
    "lmdb",
    "tinydb",
    "montydb",
    "mongomock",
    "pantherdb",
)


def machine() -> str:
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        model = next((line.partition(":")[2].strip() for line in info.open() if line.startswith("model name")), model)
    return f"{model}, {platform.system()}"


def versions() -> str:
    known = [f"Python {platform.python_version()}"]
    for package in PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            known.append(f"{package} {version(package)}")
    return ", ".join(known)


def outcome(command: list[str]) -> Any:
    """What a program prints as JSON."""
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def measure(arguments: argparse.Namespace) -> Results:
    numbers = Numbers()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        peers = [
            (adapter, python)
            for adapter in ADAPTERS
            if adapter.name in arguments.peers and (python := python_for(adapter, folder))
        ]
        plan = Plan(peers, arguments.works, arguments.rounds, arguments.limit)
        for size in arguments.sizes:
            with tempfile.TemporaryDirectory(dir=folder) as place:
                asyncio.run(measure_size(plan, size, Path(place), numbers))
        results: Results = {
            "machine": machine(),
            "versions": versions(),
            "peers": [adapter.name for adapter, _ in peers],
            **asdict(numbers),
        }
        if arguments.alone:
            results["loop documents"] = max(arguments.sizes)
            for kind in ("lateness", "stream"):
                print(f"{results['loop documents']:,}: {kind}", file=sys.stderr)
                command = [
                    sys.executable,
                    str(Path(__file__).parent / "loop.py"),
                    kind,
                    str(max(arguments.sizes)),
                    name,
                ]
                results[kind] = outcome(command)
            costs = folder / "costs"
            costs.mkdir()
            size = 100_000 if 100_000 in arguments.sizes else max(arguments.sizes)
            program = str(Path(__file__).parent / "costs.py")
            results["costs"] = {"documents": size, **outcome([sys.executable, program, str(size), str(costs)])}
    return results


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    def names(text: str) -> list[str]:
        return [part.strip() for part in text.split(",")]

    known = {adapter.name: adapter for adapter in ADAPTERS}
    works = {work.name: work for work in WORKS}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=["targets"], help="the peers and the size of the targets, and nothing else")
    parser.add_argument("--sizes", type=lambda text: [int(size) for size in names(text)], help="numbers of documents")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--limit", type=float, default=30.0, help="seconds a peer may take for a work at a size")
    parser.add_argument("--peers", type=names, help=f"some of: {', '.join(known)}")
    parser.add_argument("--works", type=names, default=list(works), help=f"some of: {', '.join(works)}")
    parser.add_argument("--only-peers", dest="alone", action="store_false", help="measure PoofDB only beside its peers")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write all numbers")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="where to write the tables; between its markers")
    parser.add_argument("--charts", type=Path, metavar="FOLDER", help="where to draw the charts")
    parser.add_argument("--from-json", type=Path, metavar="FILE", help="measure nothing: report these numbers")
    parsed = parser.parse_args(arguments)
    targets = parsed.preset == "targets"
    parsed.sizes = parsed.sizes or ([100_000] if targets else SIZES)
    parsed.peers = parsed.peers or (list(TARGETS) if targets else list(known))
    for given, all_names in ((parsed.peers, known), (parsed.works, works)):
        for name in given:
            if name not in all_names:
                parser.error(f"{name!r} is none of: {', '.join(all_names)}")
    if OURS not in parsed.peers:
        parser.error(f"{OURS} is what the others are compared with")
    if not (parsed.rounds > 0 and parsed.limit > 0 and min(parsed.sizes) > 0):
        parser.error("sizes, rounds and limit are more than 0")
    # There is nothing to work on before it is loaded.
    parsed.works = [work for work in WORKS if work is LOAD or work.name in parsed.works]
    return parsed


def main() -> None:
    arguments = parse()
    results = json.loads(arguments.from_json.read_text()) if arguments.from_json else measure(arguments)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n")
    text = report(results)
    if arguments.markdown:
        write_report(arguments.markdown, text)
    else:
        print(text, end="")
    if arguments.charts:
        from charts import draw  # the only part that needs matplotlib

        draw(results, arguments.charts)


if __name__ == "__main__":
    main()
