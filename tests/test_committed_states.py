"""The states of a cluster in memory: what a connection reads beside the one that writes."""

import pytest
from cryptography.fernet import Fernet
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from poof.engines.sqlite.opening import open_file
from poof.engines.sqlite.tables import catalogue, log, rows, savepoints
from poof.engines.sqlite.turns.store import Settings
from poof.errors import PoofError
from poof.keys.credentials import Credentials

KEY = Fernet.generate_key()
CACHE_MIB = 0
"""So small that transactions spill into the log, and that pages are read again and again."""
CHECKPOINTS = [log.save, log.restart_log, log.checkpoint]


def in_memory():
    return open_file(":memory:", Credentials(KEY), Settings(5, CACHE_MIB), creates=True)


def create_people(store):
    return store.call(catalogue.create_collection, store.call(catalogue.create_database, "db"), "people")


def documents(store, people):
    return dict(store.call(lambda connection: list(rows.scan(connection, people))))


class Seen:
    """A state that a connection was opened for."""

    def __init__(self, store, model):
        self.store = store
        self.model = model
        self.is_outlived = False
        """Whether the log was copied into the file since. Then it may be read only as long as it is the newest."""


class States(RuleBasedStateMachine):
    """`model` is what the connection sees that writes. Each state goes with what was committed when it was opened."""

    def __init__(self):
        super().__init__()
        self.file = in_memory()
        self.first = self.file.first
        self.people = create_people(self.first)
        self.model = {}
        self.before = None
        """What was committed, while a transaction is open."""
        self.states = []

    def teardown(self):
        for state in self.states:
            self.check(state)
            state.store.close()
        self.first.close()

    def check(self, state):
        if state.is_outlived and not state.store.is_newest:
            return
        if state.store.is_newest:
            assert state.model == (self.model if self.before is None else self.before)
        assert documents(state.store, self.people) == state.model
        for obj_id in list(state.model)[::7]:
            assert state.store.call(rows.find, self.people, obj_id) is not None
        assert state.store.call(lambda connection: connection.execute("PRAGMA integrity_check").get) == "ok"

    @rule(count=st.integers(1, 40), size=st.sampled_from([10, 3_000, 20_000]))
    def insert(self, count, size):
        for number in range(count):
            text = f'{{"text":"{str(number) * size}"}}'
            self.model[self.first.call(rows.insert, self.people, text)] = text

    @rule(skip=st.integers(0, 5), step=st.integers(1, 5))
    def delete(self, skip, step):
        for obj_id in list(self.model)[skip::step]:
            assert self.first.call(rows.delete, self.people, obj_id)
            del self.model[obj_id]

    @rule(size=st.integers(0, 9_000))
    def replace(self, size):
        for obj_id in list(self.model)[::3]:
            self.model[obj_id] = f'{{"text":"{"y" * size}"}}'
            assert self.first.call(rows.replace, self.people, obj_id, self.model[obj_id])

    @rule()
    def begin(self):
        if self.before is None:
            self.first.call(savepoints.begin)
            self.before = dict(self.model)

    @rule()
    def commit(self):
        if self.before is not None:
            self.first.call(savepoints.commit)
            self.before = None

    @rule()
    def roll_back(self):
        if self.before is not None:
            self.first.call(savepoints.rollback)
            self.model, self.before = self.before, None

    @rule()
    def vacuum(self):
        if self.before is None:
            self.first.call(lambda connection: connection.execute("VACUUM"))

    @rule(checkpoint=st.sampled_from(CHECKPOINTS))
    def copy_the_log(self, checkpoint):
        if self.before is None:
            self.first.call(checkpoint)
            for state in self.states:
                state.is_outlived = True

    @rule()
    def look(self):
        store = self.file.connect()
        assert store.is_newest
        self.states.append(Seen(store, dict(self.model if self.before is None else self.before)))
        self.check(self.states[-1])

    @rule(number=st.integers(0, 10))
    def look_again(self, number):
        if self.states:
            self.check(self.states[number % len(self.states)])


def check(examples, steps):
    slow = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
    limits = settings(
        max_examples=examples, stateful_step_count=steps, deadline=None, suppress_health_check=slow, database=None
    )
    run_state_machine_as_test(States, settings=limits)


def test_a_state_stays_as_it_was_committed():
    check(20, 30)


@pytest.mark.campaign
def test_a_state_stays_as_it_was_committed_for_long():
    check(600, 60)


@pytest.mark.parametrize("checkpoint", CHECKPOINTS)
def test_the_log_may_be_begun_anew_under_a_state(checkpoint):
    """It was copied before: then a transaction writes over the very frames in which the state would look for pages."""
    file = in_memory()
    people = create_people(file.first)
    for number in range(30):
        file.first.call(rows.insert, people, f'{{"n":{number}}}')
    before = documents(file.first, people)
    file.first.call(checkpoint)
    store = file.connect()
    length = file.first._state.log.xFileSize()
    file.first.call(savepoints.begin)
    for number in range(300):
        file.first.call(rows.insert, people, f'{{"text":"{"x" * 9_000}{number}"}}')
    assert documents(store, people) == before
    assert file.first._state.log.xFileSize() > length
    file.first.call(savepoints.commit)
    assert documents(store, people) == before
    assert not store.is_newest
    store.close()
    file.first.close()


def test_a_connection_to_a_state_writes_nothing():
    file = in_memory()
    people = create_people(file.first)
    store = file.connect()
    with pytest.raises(PoofError):
        store.call(rows.insert, people, "{}")
    store.close()
    assert documents(file.first, people) == {}
    file.first.close()
