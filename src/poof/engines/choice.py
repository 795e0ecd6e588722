"""Which engine keeps a cluster: the one place that knows them all."""

from poof.engines.contract import Engine, Settings
from poof.engines.sqlite import start
from poof.engines.sqlite.care.salvage import salvage_file
from poof.engines.sqlite.file.raw import read_cluster_number
from poof.engines.sqlite.pages.state import MEMORY
from poof.keys.credentials import Credentials
from poof.progress import Progress
from poof.results import SalvageReport

IN_MEMORY = MEMORY
"""The path of a cluster that touches no disk."""


async def open_engine(path: str, credentials: Credentials, settings: Settings, *, creates: bool) -> Engine:
    """Opens a cluster; where there is none, `creates` it.

    Raises: what `PoofCluster.create` and `PoofCluster.open` raise.
    """
    return await start.start(path, credentials, settings, creates=creates)


async def salvage(path: str, to: str, credentials: Credentials, progress: Progress | None) -> SalvageReport:
    """Brings every document that can still be read out of a damaged cluster into a new one."""
    return await salvage_file(path, to, credentials, progress)


def find_cluster_number(path: str) -> str | None:
    """Returns the number of the cluster at a path, or None where there is none yet. Blocks."""
    return read_cluster_number(path)
