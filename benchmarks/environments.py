"""Environments of their own for peers that cannot share that of PoofDB."""

import subprocess
import sys
import venv
from pathlib import Path

from peers import Adapter


def python_for(adapter: Adapter, folder: Path) -> str | None:
    """The interpreter that has what the peer needs; `None` where it cannot be had."""
    if not adapter.requirements:
        return sys.executable if adapter.is_installed() else None
    place = folder / "".join(filter(str.isalnum, adapter.name))
    venv.create(place, with_pip=True)
    python = place / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    installing = [str(python), "-m", "pip", "install", "--quiet", *adapter.requirements]
    done = subprocess.run(installing, capture_output=True, text=True)
    if done.returncode:
        print(f"{adapter.name}: cannot be installed: {done.stderr.strip()[-500:]}", file=sys.stderr)
        return None
    return str(python)
