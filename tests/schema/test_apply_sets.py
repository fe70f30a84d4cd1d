"""Sets of field paths obey the laws of sets, path by path."""

from hypothesis import given
from hypothesis import strategies as st

from minikube_api.schema import apply_sets

ELEMENT = st.sampled_from(["f:a", "f:b", 'k:{"name":"c"}', 'v:"x"'])
PATHS = st.lists(st.lists(ELEMENT, min_size=1, max_size=3).map(tuple), max_size=6)


def paths(fields: apply_sets.Fields) -> set[tuple[str, ...]]:
    return set(apply_sets.elements(fields))


def well_formed(fields: apply_sets.Fields) -> bool:
    """No node stands for nothing: each is a leaf or leads to a member, and `.` alone is written as a leaf."""
    return all(
        element == "." or (node != {".": {}} and well_formed(node)) for element, node in fields.items()
    ) and apply_sets.check(fields)


@given(PATHS)
def test_paths_come_back(given_paths: list[tuple[str, ...]]) -> None:
    fields = apply_sets.from_paths(given_paths)
    assert paths(fields) == set(given_paths)
    assert all(apply_sets.has(fields, path) for path in given_paths)
    assert well_formed(fields)


@given(PATHS, PATHS)
def test_operations_are_those_of_sets(first: list[tuple[str, ...]], second: list[tuple[str, ...]]) -> None:
    a, b = apply_sets.from_paths(first), apply_sets.from_paths(second)
    for operation, expected in (
        (apply_sets.union, set(first) | set(second)),
        (apply_sets.difference, set(first) - set(second)),
        (apply_sets.intersection, set(first) & set(second)),
    ):
        result = operation(a, b)
        assert paths(result) == expected
        assert well_formed(result)
        assert bool(result) == bool(expected)
    assert paths(a) == set(first)
    assert paths(b) == set(second)


@given(PATHS, PATHS)
def test_recursive_difference_takes_what_lies_below(first: list[tuple[str, ...]], second: list[tuple[str, ...]]) -> None:
    left = apply_sets.recursive_difference(apply_sets.from_paths(first), apply_sets.from_paths(second))
    assert paths(left) == {p for p in first if not any(p[: len(q)] == q for q in second)}
    assert well_formed(left)


def test_paths_read_as_conflicts_name_them() -> None:
    path = ("f:spec", 'k:{"containerPort":80,"protocol":"TCP"}', "f:ports", 'v:"a\\"b"', "i:3")
    assert apply_sets.path_text(path) == '.spec[containerPort=80,protocol="TCP"].ports[="a\\"b"][3]'


def test_members_of_a_level_come_before_what_lies_below_them() -> None:
    fields = {"f:b": {"f:x": {}}, "f:c": {".": {}, "f:y": {}}, "f:d": {}}
    assert [apply_sets.path_text(p) for p in apply_sets.elements(fields)] == [".c", ".d", ".b.x", ".c.y"]


def test_sets_from_clients_are_checked() -> None:
    assert apply_sets.check({"f:a": {".": {}, 'k:{"n":1}': {}}})
    assert not apply_sets.check({"a": {}})
    assert not apply_sets.check({"f:a": 3})
