"""Where the project and its tests lie."""

from pathlib import Path

TESTS = Path(__file__).parents[1]
ROOT = TESTS.parent
"""Of the project; programs that tests start import `tests.support` from here."""
