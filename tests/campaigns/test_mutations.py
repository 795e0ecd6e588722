"""The campaigns find what they look for: each fault that is planted in our own code makes one of them fail."""

from collections import Counter
from pathlib import Path

import pytest

from tests.support.faults.mutations import MUTATIONS, Mutation, is_found

SECTIONS = {"1 kill", "2 power loss", "3 I/O faults", "4 tampering", "5 leaks", "6 load"}


def test_there_is_a_mutation_for_every_campaign() -> None:
    assert {mutation.section for mutation in MUTATIONS.values()} == SECTIONS


@pytest.mark.campaign
@pytest.mark.parametrize("mutation", MUTATIONS.values(), ids=MUTATIONS)
def test_a_planted_fault_is_found(mutation: Mutation, tmp_path: Path, figures: Counter[str]) -> None:
    assert is_found(mutation, tmp_path)
    figures["7 faults planted in our own code, and found"] += 1
