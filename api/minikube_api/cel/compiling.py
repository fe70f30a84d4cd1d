"""Expression trees to closures, checked on the way: types of what declarations say, dynamic dispatch for the rest.

A closure takes the activation (a dict of variables; comprehension variables are added to it). Errors of operands of && and || are
absorbed as CEL says. What a run costs is counted in cel-go's units (see `costs`): straight code owes a sum known beforehand, which the
branch or loop around it charges; calls whose cost depends on sizes charge themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from minikube_api.cel import access, costs, macros, types, validators
from minikube_api.cel.costs import COST, Cost, CostExceeded
from minikube_api.cel.functions import FUNCTIONS, Overload
from minikube_api.cel.syntax import Node, Problem, parse, report
from minikube_api.cel.types import BOOL, DYN, ERROR, INT, STRING, Binding, Field, Type, assignable, joined, substituted
from minikube_api.cel.values import EvaluationError, TypeValue, UInt, equal

Activation = dict[str, Any]
Code = Callable[[Activation], Any]
Checked = tuple[Type, Code]


class CompileError(ValueError):
    """All findings of a compilation, as cel-go writes them."""


@dataclass(slots=True)
class Environment:
    """What names an expression may use. `structs` are message types that literals may name (MutatingAdmissionPolicy)."""

    variables: Mapping[str, Type]
    structs: Callable[[str], Type | None] = lambda name: None
    functions: Mapping[str, list[Overload]] = field(default_factory=dict)


@dataclass(slots=True)
class Program:
    text: str
    type: Type
    code: Code
    #: names of variables that the text uses
    uses: frozenset[str]
    #: what a run costs before its first branch or loop
    fixed: int
    #: the most that a run can cost, by the sizes that declared types allow; None when nobody asked
    most: int | None = None

    def run(self, variables: Activation, limit: int | Cost = 1_000_000) -> Any:
        """Raises EvaluationError."""
        cost = limit if isinstance(limit, Cost) else Cost(limit)
        try:
            cost.spend(self.fixed)
            return self.code({**variables, COST: cost})
        except RecursionError:
            raise EvaluationError("evaluation is too deep") from None


def compile(text: str, environment: Environment, *, estimate: bool = False) -> Program:
    """Raises CompileError. `estimate`: say what a run may cost at most."""
    try:
        tree = parse(text)
        compiler = Compiler(environment)
        kind, code = compiler.compile(tree, {})
    except Problem as problem:
        told = sorted((problem, *problem.others), key=lambda one: one.offset)
        raise CompileError(report(text, told)) from None
    except RecursionError:
        raise CompileError("expression recursion limit exceeded") from None
    found = compiler.problems or validators.problems(tree, compiler.kinds)
    if found:
        found = sorted(found, key=lambda problem: problem.offset)
        raise CompileError(report(text, found))
    most = None
    if estimate:
        from minikube_api.cel import estimates

        most = estimates.most(tree, compiler.kinds, compiler.chosen)
    return Program(text, kind, code, frozenset(compiler.uses), compiler.owed(code), most)


_LITERALS: tuple[tuple[type, Type], ...] = (
    (bool, BOOL), (UInt, types.UINT), (int, INT), (float, types.DOUBLE), (str, STRING), (bytes, types.BYTES), (type(None), types.NULL),
)  # fmt: skip
_TYPE_NAMES = {
    "int": "int", "uint": "uint", "double": "double", "bool": "bool", "string": "string", "bytes": "bytes", "list": "list",
    "map": "map", "null_type": "null_type", "type": "type", "google.protobuf.Timestamp": "google.protobuf.Timestamp",
    "google.protobuf.Duration": "google.protobuf.Duration", "optional_type": "optional_type", "net.IP": "net.IP",
    "net.CIDR": "net.CIDR", "kubernetes.URL": "kubernetes.URL", "kubernetes.Quantity": "kubernetes.Quantity",
}  # fmt: skip

Locals = dict[str, Type]


class Compiler:
    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        self.problems: list[Problem] = []
        self.uses: set[str] = set()
        #: what a closure costs that nobody has charged yet: straight code is charged once, by the branch or loop it stands in
        self._owed: dict[Code, int] = {}
        self.kinds: dict[Node, Type] = {}
        self.chosen: dict[Node, list[Overload]] = {}

    def owed(self, *codes: Code) -> int:
        """The costs of closures; whoever asks charges them."""
        return sum(self._owed.pop(code, 0) for code in codes)

    def owing(self, code: Code, amount: int) -> Code:
        self._owed[code] = amount
        return code

    def charged(self, code: Code) -> Code:
        """The closure with its costs charged at each run: for what may not run at all."""
        amount = self.owed(code)
        if not amount:
            return code

        def run(env: Activation) -> Any:
            env[COST].spend(amount)
            return code(env)

        return run

    def problem(self, at: int, message: str) -> Checked:
        self.problems.append(Problem(at, message))
        return ERROR, _fails

    def compile(self, node: Node, local: Locals) -> Checked:
        method = getattr(self, "_" + node.kind)
        checked: Checked = method(node, local)
        self.kinds[node] = checked[0]
        return checked

    def _literal(self, node: Node, local: Locals) -> Checked:
        value = node.value
        kind = next(kind for python, kind in _LITERALS if isinstance(value, python))
        return kind, lambda env: value

    def _ident(self, node: Node, local: Locals) -> Checked:
        name = node.name
        kind = local.get(name)
        if kind is None:
            kind = self.environment.variables.get(name)
            if kind is not None:
                self.uses.add(name)
        if kind is not None:
            return kind, self.owing(lambda env: env[name], 1)
        if name in _TYPE_NAMES:
            value = TypeValue(_TYPE_NAMES[name])
            return types.TYPE, lambda env: value
        return self.problem(node.at, f"undeclared reference to '{name}' (in container '')")

    # ---- fields

    def _qualified(self, node: Node) -> str:
        """`a.b.c` of nested selections of plain names, or ""."""
        if node.kind == "ident":
            return node.name
        if node.kind == "select" and node.target is not None and not node.optional and not node.test:
            head = self._qualified(node.target)
            return f"{head}.{node.name}" if head else ""
        return ""

    def _select(self, node: Node, local: Locals) -> Checked:
        assert node.target is not None
        if (name := self._qualified(node)) in _TYPE_NAMES and name.split(".")[0] not in local:
            value = TypeValue(_TYPE_NAMES[name])
            return types.TYPE, lambda env: value
        if "." in name and name in self.environment.variables and not node.test:
            # a variable whose name has dots (authorizer.requestResource)
            self.uses.add(name)
            return self.environment.variables[name], self.owing(lambda env: env[name], 1)
        kind, code = self.compile(node.target, local)
        wrapped = kind.kind == "optional"
        inner = kind.item if wrapped else kind
        assert inner is not None
        found = self._field(inner, node)
        if found is None:
            return ERROR, _fails
        cost = self.owed(code)
        if node.test:
            return BOOL, self.owing(access.tester(code, found.json, wrapped), cost)
        if node.optional or wrapped:
            result = types.optional_of(found.type) if found.type.kind != "optional" else found.type
            return result, self.owing(access.optional_selector(code, found), cost + 1)
        return found.type, self.owing(access.selector(code, found), cost + 1)

    def _field(self, kind: Type, node: Node) -> Field | None:
        if kind.kind in ("dyn", "error", "param"):
            return Field(DYN, node.name)
        if kind.kind == "map":
            assert kind.item is not None
            return Field(kind.item, node.name)
        if kind.kind == "object":
            found = (kind.fields or {}).get(node.name)
            if found is None:
                self.problem(node.at, f"undefined field '{node.name}'")
            return found
        self.problem(node.at, f"type '{kind}' does not support field selection")
        return None

    def _index(self, node: Node, local: Locals) -> Checked:
        kind, code = self.compile(node.args[0], local)
        key_kind, key = self.compile(node.args[1], local)
        wrapped = kind.kind == "optional"
        inner = kind.item if wrapped else kind
        assert inner is not None
        if inner.kind == "list":
            wanted, result = INT, inner.item
        elif inner.kind == "map":
            wanted, result = inner.key, inner.item
        elif inner.kind in ("dyn", "error", "param"):
            wanted, result = DYN, DYN
        else:
            wanted, result = None, None
        numeric = wanted is not None and wanted.kind == "int" and key_kind.kind in ("uint", "double")
        if wanted is None or result is None or not (assignable(wanted, key_kind, {}) or numeric):
            return self.problem(node.at, _no_overload("_[_]", [kind, key_kind], None))
        convert, cost = result.convert, self.owed(code, key) + 1
        if node.optional or wrapped:
            return types.optional_of(result), self.owing(access.optional_indexer(code, key, convert), cost)
        return result, self.owing(access.indexer(code, key, convert), cost)

    # ---- literals of collections

    def _list(self, node: Node, local: Locals) -> Checked:
        parts = [self.compile(item, local) for item in node.args]
        item: Type | None = None
        for (kind, _), optional in zip(parts, node.flags, strict=True):
            one = kind.item if optional and kind.kind == "optional" and kind.item is not None else kind
            item = one if item is None else joined(item, one)
        codes = [code for _, code in parts]
        result = types.list_of(item or types.param("_var0"))
        cost = self.owed(*codes) + costs.LIST
        if not any(node.flags):
            return result, self.owing(lambda env: [code(env) for code in codes], cost)
        pairs = list(zip(codes, node.flags, strict=True))

        def build(env: Activation) -> list[Any]:
            made: list[Any] = []
            for code, optional in pairs:
                value = code(env)
                if not optional:
                    made.append(value)
                elif value.present:
                    made.append(value.value)
            return made

        return result, self.owing(build, cost)

    def _map(self, node: Node, local: Locals) -> Checked:
        key_kind: Type | None = None
        item_kind: Type | None = None
        entries: list[tuple[Code, Code, bool]] = []
        for i, optional in enumerate(node.flags):
            key, key_code = self.compile(node.args[2 * i], local)
            kind, code = self.compile(node.args[2 * i + 1], local)
            if optional and kind.kind == "optional" and kind.item is not None:
                kind = kind.item
            key_kind = key if key_kind is None else joined(key_kind, key)
            item_kind = kind if item_kind is None else joined(item_kind, kind)
            entries.append((key_code, code, optional))
        result = types.map_of(key_kind or DYN, item_kind or DYN)
        return result, self._built(entries, costs.MAP)

    def _built(self, entries: list[tuple[Code, Code, bool]], base: int) -> Code:
        cost = sum(self.owed(key, code) for key, code, _ in entries)
        return self.owing(access.map_builder(entries), cost + base)

    def _struct(self, node: Node, local: Locals) -> Checked:
        kind = self.environment.structs(node.name)
        if kind is None:
            return self.problem(node.at, f"undeclared reference to '{node.name}' (in container '')")
        entries: list[tuple[Code, Code, bool]] = []
        for i, optional in enumerate(node.flags):
            name_node, value_node = node.args[2 * i], node.args[2 * i + 1]
            name = name_node.value
            given, code = self.compile(value_node, local)
            known = DYN if kind.fields is None else (kind.fields[name].type if name in kind.fields else None)
            if known is None:
                self.problem(name_node.at, f"undefined field '{name}'")
            elif not assignable(known, given.item if optional and given.item is not None else given, {}):
                self.problem(name_node.at, f"expected type of field '{name}' is '{known}' but provided type is '{given}'")
            entries.append((lambda env, name=name: name, code, optional))
        return kind, self._built(entries, costs.STRUCT)

    # ---- calls

    def _call(self, node: Node, local: Locals) -> Checked:
        expanded = macros.expand(self, node, local)
        if expanded is not None:
            return expanded
        special = _SPECIAL.get(node.name)
        if special is not None and node.target is None:
            checked: Checked = special(self, node, local)
            return checked
        name, target = node.name, node.target
        if target is not None:
            qualified = self._qualified(target)
            full = f"{qualified}.{name}" if qualified else ""
            if full and full in FUNCTIONS and qualified.split(".")[0] not in local:
                name, target = full, None
        nodes = node.args if target is None else (target, *node.args)
        parts = [self.compile(arg, local) for arg in nodes]
        kinds = [kind for kind, _ in parts]
        overloads = self.environment.functions.get(name) or FUNCTIONS.get(name)
        if not overloads or not any(o.member == (target is not None) for o in overloads):
            if not overloads or target is None:
                return self.problem(node.at, f"undeclared reference to '{name}' (in container '')")
        fitting, result = _resolve(overloads, kinds, target is not None)
        if not fitting:
            if any(kind is ERROR for kind in kinds):
                return ERROR, _fails
            return self.problem(node.at, _no_overload(name, kinds, target))
        self.chosen[node] = fitting
        codes = [code for _, code in parts]
        meter = costs.meter(name, nodes, kinds)
        if not isinstance(meter, int):
            return result, self.owing(_metered(_caller_of_values(fitting, kinds), codes, meter), self.owed(*codes))
        return result, self.owing(_caller(fitting, codes, kinds), self.owed(*codes) + meter)

    def _conditional(self, node: Node, local: Locals) -> Checked:
        (test_kind, test), (yes_kind, yes), (no_kind, no) = (self.compile(arg, local) for arg in node.args)
        if not assignable(BOOL, test_kind, {}):
            return self.problem(node.at, _no_overload("_?_:_", [test_kind, yes_kind, no_kind], None))
        binding: Binding = {}
        assignable(types.A, yes_kind, binding)
        if not assignable(types.A, no_kind, binding) and not assignable(no_kind, yes_kind, {}):
            return self.problem(node.at, _no_overload("_?_:_", [test_kind, yes_kind, no_kind], None))

        yes, no = self.charged(yes), self.charged(no)

        def choose(env: Activation) -> Any:
            chosen = test(env)
            if chosen is True:
                return yes(env)
            if chosen is False:
                return no(env)
            raise EvaluationError("no such overload")

        return joined(yes_kind, no_kind), self.owing(choose, self.owed(test))

    def _logic(self, node: Node, local: Locals) -> Checked:
        (left_kind, left), (right_kind, right) = (self.compile(arg, local) for arg in node.args)
        if not (assignable(BOOL, left_kind, {}) and assignable(BOOL, right_kind, {})):
            for arg, kind in zip(node.args, (left_kind, right_kind), strict=True):
                if not assignable(BOOL, kind, {}):
                    self.problem(arg.at, f"expected type 'bool' but found '{kind}'")
            return ERROR, _fails
        cost = self.owed(left)
        return BOOL, self.owing(_logical(left, self.charged(right), deciding=node.name == "_||_"), cost)

    def _equality(self, node: Node, local: Locals) -> Checked:
        (left_kind, left), (right_kind, right) = (self.compile(arg, local) for arg in node.args)
        if not (assignable(left_kind, right_kind, {}) or assignable(right_kind, left_kind, {})):
            return self.problem(node.at, _no_overload(node.name, [left_kind, right_kind], None))
        differ, cost = node.name == "_!=_", self.owed(left, right)
        meter = costs.meter(node.name, node.args, [left_kind, right_kind])
        if isinstance(meter, int):
            return BOOL, self.owing(lambda env: equal(left(env), right(env)) is not differ, cost + meter)

        def compared(env: Activation) -> bool:
            a, b = left(env), right(env)
            env[COST].spend(meter(a, b))
            return equal(a, b) is not differ

        return BOOL, self.owing(compared, cost)


_SPECIAL: dict[str, Any] = {
    "_?_:_": Compiler._conditional,
    "_||_": Compiler._logic,
    "_&&_": Compiler._logic,
    "_==_": Compiler._equality,
    "_!=_": Compiler._equality,
}


def _fails(env: Activation) -> Any:
    raise AssertionError("a program with problems never runs")


def _no_overload(name: str, kinds: list[Type], target: Node | None) -> str:
    shown = [str(kind) for kind in kinds]
    listed = f"{shown[0]}.({', '.join(shown[1:])})" if target is not None else f"({', '.join(shown)})"
    return f"found no matching overload for '{name}' applied to '{listed}'"


def _resolve(overloads: list[Overload], kinds: list[Type], member: bool) -> tuple[list[Overload], Type]:
    fitting: list[Overload] = []
    result: Type | None = None
    for overload in overloads:
        if overload.member != member or len(overload.args) != len(kinds):
            continue
        binding: Binding = {}
        if all(assignable(to, given, binding) for to, given in zip(overload.args, kinds, strict=True)):
            one = substituted(overload.result, binding)
            fitting.append(overload)
            result = one if result is None else joined(result, one)
    return fitting, result or ERROR


def _caller_of_values(fitting: list[Overload], kinds: list[Type]) -> Callable[..., Any]:
    """The function, or where types are only known at run time, one that picks among the overloads that may fit."""
    if len(fitting) == 1 and all(kind.kind not in ("dyn", "param") for kind in kinds):
        return fitting[0].function
    tests = [([types.of_value(arg) for arg in overload.args], overload.function) for overload in fitting]

    def dispatch(*given: Any) -> Any:
        for checks, candidate in tests:
            if all(check(value) for check, value in zip(checks, given, strict=True)):
                return candidate(*given)
        raise EvaluationError("no such overload")

    return dispatch


def _caller(fitting: list[Overload], codes: list[Code], kinds: list[Type]) -> Code:
    function = _caller_of_values(fitting, kinds)
    if len(codes) == 1:
        only = codes[0]
        return lambda env: function(only(env))
    if len(codes) == 2:
        first, second = codes
        return lambda env: function(first(env), second(env))
    return lambda env: function(*[code(env) for code in codes])


def _metered(function: Callable[..., Any], codes: list[Code], meter: Callable[..., int]) -> Code:
    def run(env: Activation) -> Any:
        given = [code(env) for code in codes]
        env[COST].spend(meter(*given))
        return function(*given)

    return run


def _logical(left: Code, right: Code, *, deciding: bool) -> Code:
    def run(env: Activation) -> bool:
        try:
            first = left(env)
        except CostExceeded:
            raise
        except EvaluationError:
            if right(env) is deciding:
                return deciding
            raise
        if first is deciding:
            return deciding
        second = right(env)
        if second is deciding:
            return deciding
        if type(first) is not bool or type(second) is not bool:
            raise EvaluationError("no such overload")
        return not deciding

    return run
