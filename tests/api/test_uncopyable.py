"""What belongs to an open file is neither pickled nor copied."""

import copy
import pickle

import pytest

from poof import PoofCluster, UncopyableError


@pytest.mark.parametrize("duplicate", [pickle.dumps, copy.deepcopy, copy.copy], ids=lambda function: function.__name__)
async def test_what_belongs_to_an_open_file_is_not_copied(duplicate):
    async with PoofCluster.create(":memory:") as cluster:
        database = await cluster.get_database("db")
        people = await database.get_collection("people")
        opening = PoofCluster.open("cluster.poof")
        for item in (cluster, database, people, people.find(), cluster.transaction(), opening, [people]):
            name = type(people if isinstance(item, list) and duplicate is not copy.copy else item).__name__
            if name == "list":
                continue  # a shallow copy of a list copies nothing in it
            with pytest.raises(TypeError, match=rf"{name} belongs to a file .* PoofCluster\.create") as caught:
                duplicate(item)
            assert isinstance(caught.value, UncopyableError)
        opening.close()
