"""Any JSON comes back the same, and the text of a datetime sorts as time does."""

import asyncio
import datetime
import json

from hypothesis import example, given, settings
from hypothesis import strategies as st

from poof import PoofCluster
from poof.encoding.values import encode_value

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=30)
NAMES = st.text().filter(lambda name: name[:1] != "$" and name != "_objId")
DOCUMENTS = st.dictionaries(NAMES, JSON)
OFFSETS = st.integers(-23 * 60, 23 * 60).map(lambda minutes: datetime.timezone(datetime.timedelta(minutes=minutes)))
AWARE = st.datetimes(datetime.datetime(2, 1, 1), datetime.datetime(9998, 12, 31), timezones=OFFSETS)
NAIVE = st.datetimes()


def test_any_json_comes_back_exactly(key):
    with asyncio.Runner() as runner:
        cluster = runner.run(PoofCluster.create(":memory:", key))
        database = runner.run(cluster.get_database("db"))
        collection = runner.run(database.get_collection("any"))

        @given(DOCUMENTS)
        @example({"": -0.0, "\x00": 2**63 - 1, "\U0010ffff": [-(2**63), 5e-324, 1e22, 0.1 + 0.2]})
        @settings(max_examples=80, deadline=None)
        def comes_back(data):
            doc = runner.run(collection.insert(data))
            found = runner.run(collection.find_by_id(doc.objId))
            assert repr(found.data) == repr(data)  # types, signs of zeros and the order of keys included
            assert json.dumps(doc.data) == json.dumps(data)

        try:
            comes_back()
        finally:
            runner.run(cluster.close())


@given(AWARE, AWARE)
@settings(deadline=None)
def test_the_text_of_aware_datetimes_sorts_as_time_does(one, other):
    assert (encode_value(one) < encode_value(other)) == (one < other)
    assert (encode_value(one) == encode_value(other)) == (one == other)


@given(AWARE, st.integers(-3, 3))
@example(datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC), 1)
@example(datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC), -1)
@settings(deadline=None)
def test_neighbouring_microseconds_in_different_zones_sort_as_time_does(one, microseconds):
    zone = datetime.timezone(datetime.timedelta(hours=-microseconds))
    other = (one + datetime.timedelta(microseconds=microseconds)).astimezone(zone)
    assert (encode_value(one) < encode_value(other)) == (microseconds > 0)


@given(NAIVE, NAIVE)
@settings(deadline=None)
def test_the_text_of_naive_datetimes_sorts_as_they_do(one, other):
    assert (encode_value(one) < encode_value(other)) == (one < other)


@given(AWARE | NAIVE)
@settings(deadline=None)
def test_a_datetime_reads_back_as_the_same_moment(moment):
    assert datetime.datetime.fromisoformat(encode_value(moment)) == moment
