"""One seed, one scale and one table of figures for all campaigns.

POOF_SEED replays what a campaign chose at random; POOF_CAMPAIGN_SCALE multiplies how much the long ones do.
"""

import os
import random
from collections import Counter

import pytest

SEED = int(os.environ.get("POOF_SEED") or random.randrange(2**32))
os.environ["POOF_SEED"] = str(SEED)  # which the workers of a parallel run take
SCALE = float(os.environ.get("POOF_CAMPAIGN_SCALE", "1"))
FIGURES = pytest.StashKey[Counter[str]]()
"""Where a session counts what its campaigns did, for its last lines."""


def scaled(amount: int) -> int:
    """How much of something a long campaign does."""
    return max(1, round(amount * SCALE))
