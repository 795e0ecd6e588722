"""How much memory a process took."""

from pathlib import Path

STATUS = Path("/proc/self/status")
"""Where Linux tells. `resource.getrusage()` also counts what the process had that started this one."""


def peak_memory() -> int:
    """The most memory that this process ever took, in KiB."""
    return int(STATUS.read_text().partition("VmHWM:")[2].split()[0])
