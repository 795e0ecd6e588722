"""The start of a cluster: its engine, and what works on it by itself.

Layer: storage; its door.
"""

from poof.engines.contract import Settings
from poof.engines.sqlite.calls import Calls
from poof.engines.sqlite.engine import SqliteEngine
from poof.engines.sqlite.expiry import Expiry
from poof.engines.sqlite.opening import OpeningOptions
from poof.engines.sqlite.tuning import DEFAULT, Tuning
from poof.engines.sqlite.turns.store import Settings as StoreSettings
from poof.keys.credentials import Credentials

TUNING = DEFAULT
"""Of every engine that is started without another one."""


async def start(
    path: str, credentials: Credentials, settings: Settings, *, creates: bool = True, tuning: Tuning | None = None
) -> SqliteEngine:
    """Opens a cluster, upgrades it where the file is of PoofDB 0.x; where there is no file, `creates` it.

    From now on, expired documents are deleted, unless nothing is ever written.
    """
    tuning = tuning or TUNING
    of_store = StoreSettings(settings.timeout, settings.cache_mib, settings.power, settings.read_only)
    options = OpeningOptions(settings.exclusive, settings.at_least, settings.without_log)
    calls = await Calls.open(path, credentials, of_store, creates=creates, tuning=tuning, options=options)
    if not calls.is_read_only:
        calls.serve(Expiry(calls, tuning))
    return SqliteEngine(calls)
