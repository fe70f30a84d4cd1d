"""The index against a sorted dict; old indexes never change."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from minikube_api.cache.entries import Entry
from minikube_api.cache.index import EMPTY, Index

NAMES = [f"/r/k/{n:04}" for n in range(600)]


def entry(key: str, revision: int) -> Entry:
    return Entry(key, "", key, revision, b"", None)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 500), st.lists(st.tuples(st.booleans(), st.sampled_from(NAMES)), max_size=300), st.data())
def test_index_agrees_with_a_dict_and_old_ones_stay(size: int, steps: list, data: st.DataObject) -> None:
    model = {key: entry(key, 1) for key in NAMES[:size]}
    index = Index.of(model.values())
    history = []
    for revision, (put, key) in enumerate(steps, 2):
        if revision % 50 == 0:
            history.append((index, dict(model)))
        if put:
            model[key] = entry(key, revision)
            index = index.put(model[key])
        else:
            model.pop(key, None)
            index = index.remove(key)
    history.append((index, model))
    start, end = data.draw(st.sampled_from(NAMES)), data.draw(st.sampled_from([*NAMES, None]))
    for kept, state in history:
        ordered = [state[key] for key in sorted(state)]
        assert list(kept.span("", None)) == ordered
        inside = [e for e in ordered if e.key >= start and (end is None or e.key < end)]
        assert list(kept.span(start, end)) == inside
        assert kept.count(start, end) == len(inside)
        assert kept.size == len(state)
        assert all(kept.get(key) is state.get(key) for key in NAMES[::37])


def test_the_empty_index_has_nothing() -> None:
    assert EMPTY.get("a") is None
    assert list(EMPTY.span("", None)) == []
    assert EMPTY.remove("a") is EMPTY
