"""The benchmarks put every peer that is installed through every work, and say what came out."""

import importlib.util
import json
import subprocess
import sys

import pytest

from tests.support.places import ROOT

BENCHMARKS = ROOT / "benchmarks"
MODULES = {
    "PoofDB": "poof",
    "SQLCipher": "sqlcipher3",
    "LMDB + Fernet": "lmdb",
    "PantherDB": "pantherdb",
    "PoofDB 0.x": "cryptography",
    "aiosqlite": "aiosqlite",
    "APSW": "apsw",
    "TinyDB": "tinydb",
    "TinyDB in memory": "tinydb",
    "MontyDB": "montydb",
    "mongomock": "mongomock",
}
"""What each peer needs; SQLite3MC has an environment of its own, which takes a network to make."""
IN_MEMORY = {"TinyDB in memory", "mongomock"}
OF_FILES = {"find-cold", "open", "save", "size"}
BEGIN, END = "<!-- benchmarks: begin -->", "<!-- benchmarks: end -->"


def run_benchmark(script, *arguments):
    command = [sys.executable, BENCHMARKS / script, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def installed():
    return [peer for peer, module in MODULES.items() if importlib.util.find_spec(module)]


@pytest.fixture(scope="module")
def numbers(installed, tmp_path_factory):
    """The file of what was measured with 20 documents."""
    file = tmp_path_factory.mktemp("benchmarks") / "numbers.json"
    run_benchmark("run.py", "--sizes", 20, "--rounds", 1, "--peers", ",".join(installed), "--json", file)
    return file


def test_every_peer_that_is_installed_does_every_work(numbers, installed):
    results = json.loads(numbers.read_text())
    assert results["peers"] == installed
    assert results["words"] == {}
    assert len(results["values"]["20"]) == 19
    for work, peers in results["values"]["20"].items():
        assert set(peers) == set(installed) - (IN_MEMORY if work in OF_FILES else set()), work
        assert all(value > 0 for values in peers.values() for value in values)


def test_the_loop_is_watched_and_a_stream_is_weighed(numbers):
    results = json.loads(numbers.read_text())
    assert {"bulk insert", "save", "scan", "create an index"} < set(results["lateness"])
    assert results["stream"] > 1


def test_it_is_said_where_time_goes(numbers):
    costs = json.loads(numbers.read_text())["costs"]
    assert costs["works"]["insert, one after the other"]["sealed"] >= 1
    assert costs["works"]["read by id, warm"]["opened"] == 0


def test_tables_are_put_between_the_markers_of_a_document(numbers, tmp_path):
    document = tmp_path / "performance.md"
    document.write_text(f"Before.\n{BEGIN}\nold\n{END}\nAfter.\n")
    run_benchmark("run.py", "--from-json", numbers, "--markdown", document)
    before, _, rest = document.read_text().partition(BEGIN)
    tables, _, after = rest.partition(END)
    assert (before, after) == ("Before.\n", "\nAfter.\n")
    assert "old" not in tables
    assert "| read by id, warm |" in tables


def test_what_was_not_measured_is_said_in_its_place(numbers, tmp_path):
    results = json.loads(numbers.read_text())
    del results["values"]["20"]["scan"]["APSW"]
    results["words"] = {"20": {"scan": {"APSW": "over its time"}}}
    changed = tmp_path / "changed.json"
    changed.write_text(json.dumps(results))
    rows = run_benchmark("run.py", "--from-json", changed).splitlines()
    assert any(row.startswith("| scan") and "over its time" in row for row in rows)


def test_a_peer_that_takes_too_long_is_ended(tmp_path):
    file = tmp_path / "numbers.json"
    run_benchmark(
        "run.py", "--sizes", 20, "--rounds", 1, "--peers", "PoofDB", "--limit", 0.001, "--only-peers", "--json", file
    )
    assert json.loads(file.read_text())["words"]["20"]["load"] == {"PoofDB": "over its time"}


def test_charts_of_the_same_numbers_are_the_same_bytes(numbers, tmp_path):
    pytest.importorskip("matplotlib")
    for name in ("first", "second"):
        run_benchmark("run.py", "--from-json", numbers, "--charts", tmp_path / name)
    for chart in ("throughput.svg", "growth.svg"):
        first, second = [(tmp_path / name / chart).read_bytes() for name in ("first", "second")]
        assert first == second
        assert len(first) < 100_000


def test_pages_are_compared_with_fernet():
    assert run_benchmark("pages.py").startswith("| ")


@pytest.mark.campaign
def test_a_peer_in_an_environment_of_its_own_does_every_work(tmp_path):
    file = tmp_path / "numbers.json"
    peers = "PoofDB,SQLite3MC"
    run_benchmark("run.py", "--sizes", 20, "--rounds", 1, "--peers", peers, "--only-peers", "--json", file)
    results = json.loads(file.read_text())
    assert results["words"] == {}
    assert all("SQLite3MC" in peers for peers in results["values"]["20"].values())
