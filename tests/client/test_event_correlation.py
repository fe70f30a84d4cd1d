from __future__ import annotations

from minikube_api.client.correlation import COMBINED, Correlator, Occurrence, Written
from minikube_api.schema.typed.core_v1 import ObjectReference

POD = ObjectReference(apiVersion="v1", kind="Pod", namespace="default", name="a", uid="u")


def happening(message: str = "m", *, reason: str = "R", at: float = 0.0, ref: ObjectReference = POD) -> Occurrence:
    return Occurrence(ref, "Normal", reason, message, "kubelet", "n1", at)


def test_an_equal_event_counts_up_instead_of_being_made_again():
    correlator = Correlator()
    first = correlator.correlate(happening())
    assert first is not None and first.known is None
    correlator.written(first.key, Written("a.1", "default", 1, 0.0))
    again = correlator.correlate(happening(at=5))
    assert again is not None and again.known is not None and again.known.name == "a.1"


def test_ten_different_messages_within_ten_minutes_become_one_event():
    correlator = Correlator()
    seen = [correlator.correlate(happening(f"m{i}", at=i)) for i in range(12)]
    assert [c.aggregated for c in seen if c] == [False] * 9 + [True] * 3
    assert seen[-1] is not None and seen[-1].message == COMBINED + "m11"
    assert seen[-1].key == seen[-2].key  # type: ignore[union-attr]


def test_aggregation_starts_anew_after_ten_quiet_minutes():
    correlator = Correlator()
    for i in range(10):
        correlator.correlate(happening(f"m{i}"))
    later = correlator.correlate(happening("m", at=601))
    assert later is not None and not later.aggregated


def test_the_26th_event_of_an_object_is_spam_until_the_bucket_fills():
    correlator = Correlator()
    kept = [correlator.correlate(happening(reason=f"R{i}")) for i in range(30)]
    assert sum(c is not None for c in kept) == 25
    assert correlator.correlate(happening(reason="X", at=299)) is None
    assert correlator.correlate(happening(reason="X", at=301)) is not None


def test_another_object_has_a_bucket_of_its_own():
    correlator = Correlator()
    for i in range(26):
        correlator.correlate(happening(reason=f"R{i}"))
    other = ObjectReference(apiVersion="v1", kind="Pod", namespace="default", name="b", uid="v")
    assert correlator.correlate(happening(ref=other)) is not None
