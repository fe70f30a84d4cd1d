"""Random histories against a dict: writes with right and wrong compares, compaction, reopening; then everything is compared."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from minikube_api import store as stores
from minikube_api.store.contract import Compacted, CompareFailed, Event

KEYS = st.sampled_from([f"/r/{kind}/{name}" for kind in ("a", "b") for name in ("x", "x1", "é", "y")])
VALUES = st.binary(max_size=4)


class StoreMachine(RuleBasedStateMachine):
    kind = "memory"

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.directory = tempfile.TemporaryDirectory()
        self.store: Any = None
        #: state by revision, and the events
        self.states: dict[int, dict[str, tuple[bytes, int, int]]] = {1: {}}
        self.events: list[tuple[int, str, bytes | None, bytes | None]] = []
        self.revision = 1
        self.compacted = 1
        self.open()

    def run(self, awaitable):
        return self.loop.run_until_complete(awaitable)

    def open(self) -> None:
        path = Path(self.directory.name)
        self.store = self.run(stores.open(self.kind, path, compaction_interval=None))  # type: ignore[arg-type]

    @property
    def state(self) -> dict[str, tuple[bytes, int, int]]:
        return self.states[self.revision]

    def commit(self, key: str, value: bytes | None) -> None:
        old = self.state.get(key)
        self.revision += 1
        state = dict(self.states[self.revision - 1])
        if value is None:
            del state[key]
        else:
            state[key] = (value, old[1] if old else self.revision, self.revision)
        self.states[self.revision] = state
        self.events.append((self.revision, key, value, old[0] if old else None))

    @rule(key=KEYS, value=VALUES, compare=st.sampled_from(["none", "right", "wrong"]))
    def put(self, key: str, value: bytes, compare: str) -> None:
        standing = self.state.get(key)
        right = standing[2] if standing else 0
        expect = {"none": None, "right": right, "wrong": right + 1}[compare]
        if compare == "wrong":
            with pytest.raises(CompareFailed):
                self.run(self.store.put(key, value, expect=expect))
        else:
            self.commit(key, value)
            assert self.run(self.store.put(key, value, expect=expect)) == self.revision

    @rule(key=KEYS)
    def delete(self, key: str) -> None:
        if key in self.state:
            self.commit(key, None)
            assert self.run(self.store.delete(key)) == self.revision
        else:
            with pytest.raises(CompareFailed):
                self.run(self.store.delete(key))

    @rule(keys=st.lists(st.tuples(KEYS, VALUES), min_size=2, max_size=6))
    def put_together(self, keys: list[tuple[str, bytes]]) -> None:
        async def together() -> list[int]:
            return await asyncio.gather(*(self.store.put(key, value) for key, value in keys))

        revisions = []
        for key, value in keys:
            self.commit(key, value)
            revisions.append(self.revision)
        assert self.run(together()) == revisions

    @rule(data=st.data())
    def compact(self, data: st.DataObject) -> None:
        revision = data.draw(st.integers(self.compacted, self.revision))
        self.run(self.store.compact(revision))
        self.compacted = max(self.compacted, revision)

    @precondition(lambda self: self.kind != "memory")
    @rule()
    def reopen(self) -> None:
        self.run(self.store.close())
        self.open()

    @rule(data=st.data(), prefix=st.sampled_from(["/r/", "/r/a/", "/r/b/x"]), limit=st.integers(0, 3))
    def read_the_past(self, data: st.DataObject, prefix: str, limit: int) -> None:
        revision = data.draw(st.integers(1, self.revision))
        if revision < self.compacted:
            with pytest.raises(Compacted):
                self.run(self.store.range(prefix, revision=revision))
            return
        result = self.run(self.store.range(prefix, revision=revision, limit=limit))
        wanted = sorted((k, *v) for k, v in self.states[revision].items() if k.startswith(prefix))
        got = [(kv.key, kv.value, kv.create_revision, kv.mod_revision) for kv in result.kvs]
        assert got == (wanted[:limit] if limit else wanted)
        assert (result.more, result.count) == (bool(limit) and len(wanted) > limit, len(wanted))

    @rule(data=st.data(), prefix=st.sampled_from(["/r/", "/r/a/"]))
    def watch_from_the_past(self, data: st.DataObject, prefix: str) -> None:
        after = data.draw(st.integers(1, self.revision))

        async def collect() -> list[Event]:
            events: list[Event] = []
            if after < self.revision:
                async for batch in self.store.watch(prefix, after=after):
                    events += batch.events
                    if batch.revision >= self.revision:
                        break
            return events

        if after < self.compacted:
            with pytest.raises(Compacted):
                self.run(collect())
            return
        got = [(e.revision, e.key, e.current and e.current.value, e.previous and e.previous.value) for e in self.run(collect())]
        assert got == [event for event in self.events if event[0] > after and event[1].startswith(prefix)]

    @invariant()
    def newest_state_agrees(self) -> None:
        result = self.run(self.store.range("/r/"))
        assert result.revision == self.revision
        assert {kv.key: (kv.value, kv.create_revision, kv.mod_revision) for kv in result.kvs} == self.state

    def teardown(self) -> None:
        self.run(self.store.close())
        self.loop.close()
        self.directory.cleanup()


class SqliteMachine(StoreMachine):
    kind = "sqlite"


_SETTINGS = settings(max_examples=40, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck))
TestMemoryAgreesWithADict = StoreMachine.TestCase
TestMemoryAgreesWithADict.settings = _SETTINGS
TestSqliteAgreesWithADict = SqliteMachine.TestCase
TestSqliteAgreesWithADict.settings = settings(_SETTINGS, max_examples=20)
