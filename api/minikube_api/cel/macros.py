"""Macros: has, all, exists, exists_one, map, filter, their forms with two variables, optMap, optFlatMap, cel.bind."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from minikube_api.cel import costs, types
from minikube_api.cel.syntax import Node
from minikube_api.cel.types import BOOL, DYN, INT, Type, assignable
from minikube_api.cel.values import NONE, EvaluationError, Optional

if TYPE_CHECKING:
    from minikube_api.cel.compiling import Activation, Checked, Code, Compiler, Locals

_LOOPS = {
    ("all", 2), ("exists", 2), ("exists_one", 2), ("existsOne", 2), ("map", 2), ("map", 3), ("filter", 2), ("all", 3), ("exists", 3),
    ("existsOne", 3), ("exists_one", 3), ("transformList", 3), ("transformList", 4), ("transformMap", 3), ("transformMap", 4),
    ("transformMapEntry", 3), ("transformMapEntry", 4),
}  # fmt: skip


def expand(compiler: Compiler, node: Node, local: Locals) -> Checked | None:
    """The compiled macro, or None when the call is none."""
    name, args = node.name, node.args
    if node.target is None:
        if name == "has" and len(args) == 1:
            return _has(compiler, node, local)
        return None
    if name in ("optMap", "optFlatMap") and len(args) == 2:
        return _opt_map(compiler, node, local)
    if name == "bind" and len(args) == 3 and node.target.kind == "ident" and node.target.name == "cel":
        return _bind(compiler, node, local)
    if (name, len(args)) in _LOOPS:
        return _loop(compiler, node, local)
    return None


def _has(compiler: Compiler, node: Node, local: Locals) -> Checked:
    argument = node.args[0]
    if argument.kind != "select" or argument.optional:
        return compiler.problem(argument.at, "invalid argument to has() macro")
    tested = Node("select", argument.at, argument.name, target=argument.target, test=True)
    return compiler.compile(tested, local)


def _variable(compiler: Compiler, node: Node) -> str:
    if node.kind != "ident":
        compiler.problem(node.at, "argument must be a simple name")
        return "_"
    return node.name


def _bind(compiler: Compiler, node: Node, local: Locals) -> Checked:
    name = _variable(compiler, node.args[0])
    kind, value = compiler.compile(node.args[1], local)
    result, body = compiler.compile(node.args[2], {**local, name: kind})
    cost = compiler.owed(value, body) + costs.LIST
    return result, compiler.owing(lambda env: body({**env, name: value(env)}), cost)


def _opt_map(compiler: Compiler, node: Node, local: Locals) -> Checked:
    assert node.target is not None
    kind, code = compiler.compile(node.target, local)
    name = _variable(compiler, node.args[0])
    inner = kind.item if kind.kind == "optional" and kind.item is not None else DYN
    result, body = compiler.compile(node.args[1], {**local, name: inner})
    flat = node.name == "optFlatMap"
    # target.hasValue() ? optional.of(bind(name, target.value(), body)) : optional.none()
    cost = compiler.owed(code)
    body = compiler.charged(compiler.owing(body, compiler.owed(body) + cost + costs.LIST + (1 if flat else 2)))

    def run(env: Activation) -> Any:
        optional = code(env)
        if not optional.present:
            return NONE
        made = body({**env, name: optional.value})
        return made if flat else Optional(True, made)

    return (result if flat else types.optional_of(result)), compiler.owing(run, cost + 1)


def _range(kind: Type, two: bool) -> tuple[Type, Type] | None:
    """Types of the two loop variables of a range: index or key, and element."""
    if kind.kind in ("dyn", "error", "param"):
        return DYN, DYN
    if kind.kind == "list" and kind.item is not None:
        return INT, kind.item
    if kind.kind == "map" and kind.key is not None and kind.item is not None:
        return (kind.key, kind.item) if two else (kind.key, kind.key)
    return None


def _loop(compiler: Compiler, node: Node, local: Locals) -> Checked:
    assert node.target is not None
    kind, source = compiler.compile(node.target, local)
    name, args = node.name, node.args
    transforming = name.startswith("transform")
    two = transforming or (name in ("all", "exists", "exists_one", "existsOne") and len(args) == 3)
    names = [_variable(compiler, arg) for arg in args[: 2 if two else 1]]
    found = _range(kind, two)
    if found is None:
        shown = "expression of type '{}' cannot be range of a comprehension (must be list, map, or dynamic)"
        return compiler.problem(node.target.at, shown.format(kind))
    inside = {**local, names[0]: found[0] if two else found[1]}
    if two:
        inside[names[1]] = found[1]
    convert = found[1].convert if kind.kind in ("list", "map") else None
    body = args[len(names) :]
    compiled = [compiler.compile(part, inside) for part in body]
    test_kind = compiled[0][0]
    tests = name in ("all", "exists", "exists_one", "existsOne", "filter") or len(compiled) == 2
    if tests and not assignable(BOOL, test_kind, {}):
        return compiler.problem(body[0].at, f"expected type 'bool' but found '{test_kind}'")
    codes = [code for _, code in compiled]
    turn, whole = costs_of(name)
    turn += compiler.owed(codes[0])
    if len(codes) == 2:
        codes[1] = compiler.charged(codes[1])
    items = _turns(source, names, convert, turn)
    result, code = _result(name, kind, found, codes, [k for k, _ in compiled], items, names)
    return result, compiler.owing(code, compiler.owed(source) + whole)


#: (of a turn beside its body, of the whole) of what macros expand to
_EXPANSIONS = {
    "all": (3, 1), "exists": (4, 1), "exists_one": (2, 2), "existsOne": (2, 2), "map": (2 + costs.LIST, 1 + costs.LIST),
    "filter": (3 + costs.LIST, 1 + costs.LIST), "transformList": (2 + costs.LIST, 1 + costs.LIST),
    "transformMap": (3, 1 + costs.MAP), "transformMapEntry": (2, 1 + costs.MAP),
}  # fmt: skip


def costs_of(name: str) -> tuple[int, int]:
    """(cost of a turn beside its body, cost beside the turns) of a loop macro."""
    return _EXPANSIONS[name]


def _turns(source: Code, names: list[str], convert: types.Convert | None, cost: int) -> Any:
    """A function that yields an activation per turn, which costs `cost`; it is one dict, filled anew."""

    def turns(env: Activation) -> Iterator[Activation]:
        value = source(env)
        inner = dict(env)
        spend = env[costs.COST].spend
        if isinstance(value, list):
            for i, item in enumerate(value):
                spend(cost)
                item = item if convert is None else convert(item)
                if len(names) == 2:
                    inner[names[0]], inner[names[1]] = i, item
                else:
                    inner[names[0]] = item
                yield inner
        elif isinstance(value, dict):
            for key, item in value.items():
                spend(cost)
                inner[names[0]] = key
                if len(names) == 2:
                    inner[names[1]] = item if convert is None else convert(item)
                yield inner
        else:
            raise EvaluationError("no such overload")

    return turns


def _result(
    name: str, kind: Type, found: tuple[Type, Type], codes: list[Code], kinds: list[Type], items: Any, names: list[str]
) -> Checked:
    if name in ("all", "exists"):
        return BOOL, _quantifier(codes[0], items, deciding=name == "exists")
    if name in ("exists_one", "existsOne"):
        test = codes[0]
        return BOOL, lambda env: sum(_truth(test(inner)) for inner in items(env)) == 1
    if name == "filter":
        test, last = codes[0], names[-1]
        return types.list_of(found[1]), lambda env: [inner[last] for inner in items(env) if _truth(test(inner))]
    test_code = codes[0] if len(codes) == 2 else None
    make = codes[-1]

    def made(env: Activation) -> Iterator[tuple[Activation, Any]]:
        for inner in items(env):
            if test_code is None or _truth(test_code(inner)):
                yield inner, make(inner)

    if name in ("map", "transformList"):
        return types.list_of(kinds[-1]), lambda env: [value for _, value in made(env)]
    if name == "transformMap":
        return types.map_of(found[0], kinds[-1]), lambda env: {inner[names[0]]: value for inner, value in made(env)}

    def entries(env: Activation) -> dict[Any, Any]:
        whole: dict[Any, Any] = {}
        for _, value in made(env):
            for key, part in value.items():
                if key in whole:
                    raise EvaluationError(f"insert failed: key {key} already exists")
                whole[key] = part
        return whole

    return (kinds[-1] if kinds[-1].kind == "map" else types.MAP), entries


def _truth(value: Any) -> bool:
    if value is True or value is False:
        return bool(value)
    raise EvaluationError("no such overload")


def _quantifier(test: Code, items: Any, *, deciding: bool) -> Code:
    def run(env: Activation) -> bool:
        failed: EvaluationError | None = None
        for inner in items(env):
            try:
                if _truth(test(inner)) is deciding:
                    return deciding
            except costs.CostExceeded:
                raise
            except EvaluationError as error:
                failed = failed or error
        if failed is not None:
            raise failed
        return not deciding

    return run
