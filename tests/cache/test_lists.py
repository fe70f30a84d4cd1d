"""get and list: resourceVersion semantics, selectors, pages over snapshots, 410 and 504."""

from __future__ import annotations

import asyncio

import pytest
from world import names, pod, world

from minikube_api.cache import ListRequest, Selection
from minikube_api.meta.errors import Expired, Timeout
from minikube_api.meta.selectors import parse_fields, parse_labels


def selecting(namespace: str = "", labels: str = "", fields: str = "") -> Selection:
    return Selection.of(namespace, parse_labels(labels) if labels else None, parse_fields(fields) if fields else None)


async def test_get_shows_the_revision_of_the_last_write() -> None:
    async with world() as w:
        revision = await w.put(pod("a"))
        entry = await w.pods.get("default", "a")
        assert entry is not None
        assert entry.tree()["metadata"]["resourceVersion"] == str(revision)
        assert await w.pods.get("default", "b") is None


async def test_most_recent_read_sees_a_write_the_cache_was_not_told_of() -> None:
    async with world() as w:
        await w.pods.load()
        from minikube_api.cache import encode

        await w.store.put(w.key(pod("a")), encode(pod("a")))
        assert names((await w.pods.list(ListRequest())).items) == ["a"]


async def test_a_kind_is_loaded_with_what_was_there_before() -> None:
    async with world() as w:
        from minikube_api.cache import encode

        for name in "cab":
            last = await w.store.put(w.key(pod(name)), encode(pod(name)))
        page = await w.pods.list(ListRequest())
        assert (names(page.items), page.revision) == (["a", "b", "c"], last)


@pytest.mark.parametrize(
    ("selection", "wanted"),
    [
        pytest.param(selecting(), ["a", "b", "c", "d"], id="all"),
        pytest.param(selecting("default"), ["a", "b", "c"], id="namespace"),
        pytest.param(selecting("def"), [], id="prefix-of-a-namespace"),
        pytest.param(selecting(labels="app=x"), ["a", "d"], id="label"),
        pytest.param(selecting("default", labels="app=x"), ["a"], id="label-in-namespace"),
        pytest.param(selecting("default", labels="!app"), ["c"], id="label-absent"),
        pytest.param(selecting(fields="metadata.name=b"), ["b"], id="name"),
        pytest.param(selecting("other", fields="metadata.name=b"), [], id="name-elsewhere"),
        pytest.param(selecting(fields="spec.nodeName=n1"), ["b", "d"], id="node"),
        pytest.param(selecting(fields="spec.nodeName!=n1"), ["a", "c"], id="not-node"),
        pytest.param(selecting(fields="metadata.namespace=other"), ["d"], id="namespace-field"),
    ],
)
async def test_list_selects(selection: Selection, wanted: list[str]) -> None:
    async with world() as w:
        await w.put(pod("a", app="x"))
        await w.put(pod("b", app="y", node="n1"))
        await w.put(pod("c"))
        await w.put(pod("d", "other", app="x", node="n1"))
        assert names((await w.pods.list(ListRequest(selection=selection))).items) == wanted


async def test_pages_show_the_state_of_the_first_page() -> None:
    async with world() as w:
        for name in "abcde":
            await w.put(pod(name, mark="old"))
        first = await w.pods.list(ListRequest(limit=2))
        assert (names(first.items), first.remaining) == (["a", "b"], 3)
        await w.put(pod("c", mark="new"))
        await w.delete("d")
        await w.put(pod("cc"))
        second = await w.pods.list(ListRequest(limit=2, continue_token=first.continue_token))
        assert (names(second.items), second.remaining, second.revision) == (["c", "d"], 1, first.revision)
        assert second.items[0].tree()["spec"]["mark"] == "old"
        last = await w.pods.list(ListRequest(limit=2, continue_token=second.continue_token))
        assert (names(last.items), last.remaining, last.continue_token) == (["e"], None, "")


async def test_a_page_whose_snapshot_is_gone_is_read_from_the_store() -> None:
    async with world() as w:
        for name in "abc":
            await w.put(pod(name, mark="old"))
        first = await w.pods.list(ListRequest(selection=selecting("default"), limit=1))
        await w.put(pod("b", mark="new"))
        w.pods._snapshots._held.clear()
        rest = await w.pods.list(ListRequest(selection=selecting("default"), continue_token=first.continue_token))
        assert [(e.name, e.tree()["spec"]["mark"]) for e in rest.items] == [("b", "old"), ("c", "old")]
        assert rest.revision == first.revision


async def test_a_token_older_than_compaction_gives_410_with_a_token_that_goes_on() -> None:
    async with world() as w:
        for name in "abc":
            await w.put(pod(name))
        first = await w.pods.list(ListRequest(limit=1))
        last = await w.put(pod("d"))
        w.pods._snapshots._held.clear()
        await w.store.compact(last)  # type: ignore[arg-type]
        with pytest.raises(Expired) as expired:
            await w.pods.list(ListRequest(limit=1, continue_token=first.continue_token))
        status = expired.value.status()
        assert (status["code"], status["reason"]) == (410, "Expired")
        rest = await w.pods.list(ListRequest(continue_token=status["metadata"]["continue"]))
        assert (names(rest.items), rest.revision) == (["b", "c", "d"], last)


async def test_remaining_is_not_told_with_a_selector() -> None:
    async with world() as w:
        for name in "abc":
            await w.put(pod(name, app="x"))
        page = await w.pods.list(ListRequest(selection=selecting(labels="app=x"), limit=1))
        assert page.continue_token
        assert page.remaining is None


async def test_limit_is_ignored_for_any_version() -> None:
    async with world() as w:
        for name in "abc":
            await w.put(pod(name))
        page = await w.pods.list(ListRequest(resource_version="0", limit=1))
        assert (names(page.items), page.continue_token) == (["a", "b", "c"], "")


async def test_exact_shows_the_past_and_what_is_compacted_is_gone() -> None:
    async with world() as w:
        await w.put(pod("a"))
        at = await w.put(pod("b"))
        await w.delete("a")
        page = await w.pods.list(ListRequest(resource_version=str(at), match="Exact"))
        assert (names(page.items), page.revision) == (["a", "b"], at)
        await w.store.compact(at + 1)  # type: ignore[arg-type]
        with pytest.raises(Expired, match="The resourceVersion for the provided list is too old"):
            await w.pods.list(ListRequest(resource_version=str(at), match="Exact"))


@pytest.mark.parametrize("match", ["", "Exact", "NotOlderThan"])
async def test_a_version_not_reached_is_504_with_cause_and_retry(match) -> None:
    async with world() as w:
        with pytest.raises(Timeout) as late:
            await w.pods.list(ListRequest(resource_version="999", match=match))
        assert late.value.message == "Timeout: Too large resource version: 999, current: 1"
        assert late.value.status()["details"] == {
            "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
            "retryAfterSeconds": 1,
        }


async def test_a_read_waits_for_a_version_that_is_about_to_come() -> None:
    async with world(patience=5) as w:
        await w.pods.load()
        task = asyncio.create_task(w.pods.get("default", "a", "2"))
        await asyncio.sleep(0)
        await w.put(pod("a"))
        entry = await task
        assert entry is not None


async def test_snapshots_are_dropped_when_they_hold_too_much() -> None:
    async with world() as w:
        w.pods._snapshots._limit = 1000
        for name in "abc":
            await w.put(pod(name))
        await w.pods.list(ListRequest(limit=1))
        assert len(w.pods._snapshots) == 1
        for _ in range(12):
            await w.put(pod("a"))
        assert len(w.pods._snapshots) == 0
