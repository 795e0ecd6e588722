"""The start of a cluster: its engine, and what works on it by itself.

Layer: storage; its door.
"""

from poof.storage.engine import Engine
from poof.storage.expiry import Expiry
from poof.storage.files import Credentials
from poof.storage.store import Settings
from poof.storage.tuning import DEFAULT, Tuning

TUNING = DEFAULT
"""Of every engine that is started without another one."""


async def start(
    path: str,
    credentials: Credentials,
    settings: Settings,
    *,
    exclusive: bool,
    creates: bool = True,
    tuning: Tuning | None = None,
) -> Engine:
    """Opens a cluster, upgrades it where the file is of PoofDB 0.x; where there is no file, `creates` it.

    From now on, expired documents are deleted, unless nothing is ever written.
    """
    tuning = tuning or TUNING
    engine = await Engine.open(path, credentials, settings, exclusive=exclusive, creates=creates, tuning=tuning)
    if not settings.read_only:
        engine.serve(Expiry(engine, tuning))
    return engine
