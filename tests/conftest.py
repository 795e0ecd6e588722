"""What the tests share: running coroutines, a fresh cluster, and the rule that nothing may leak."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import apsw
import pytest
from cryptography.fernet import Fernet

T = TypeVar("T")


@pytest.fixture
def run() -> Callable[[Coroutine[Any, Any, T]], T]:
    """Runs a coroutine to its end on an event loop of its own."""
    return asyncio.run


@pytest.fixture
def key() -> str:
    return Fernet.generate_key().decode()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a test may put a cluster file; its folder holds nothing else."""
    folder = tmp_path / "cluster"
    folder.mkdir()
    return folder / "cluster.poof"


@pytest.fixture(autouse=True)
def nothing_leaks() -> Iterator[None]:
    """No test may leave a thread, a connection or a VFS of ours behind."""
    yield
    threads = [thread.name for thread in threading.enumerate() if thread.name.startswith("poof")]
    assert not threads
    assert not [connection for connection in apsw.connections() if connection.filename]
    assert not [name for name in apsw.vfs_names() if name.startswith("poof-")]
