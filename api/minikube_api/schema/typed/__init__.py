"""Typed views of the built-in kinds: msgspec structs, a module per group version (`typed.core_v1.Pod`). The modules are generated.

Attribute names are Kubernetes' own; `from_`, `continue_`, `except_`, `not_` where Python forbids. Lists are tuples (default `()`),
maps default `{}`, other optional fields default None; times and quantities are `str`, base64 data is `bytes`. `metadata`, and
`spec` and `status` of kinds, are never None, nor are structs that Go always writes (`container.resources`, `status.loadBalancer`).
Required lists that Go writes as null when nil (`role.rules`, `slice.endpoints`) are `tuple | None`.

`apiVersion` and `kind` of a top-level object are no attributes (a type knows its `API`): `encode` writes them.
`metadata.managedFields` is left out, to spare memory: a PUT without it leaves the server's bookkeeping alone.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any, ClassVar

import msgspec


@dataclass(frozen=True, slots=True)
class Kind:
    """What a typed kind is on the wire. `plural` is empty for kinds that are only bodies of subresources (Scale, Eviction)."""

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version


class Struct(msgspec.Struct, frozen=True, omit_defaults=True, weakref=True):
    """Base of every generated struct."""


class Object(Struct, frozen=True):
    """Base of the top-level kinds."""

    API: ClassVar[Kind]


def module_name(group: str, version: str) -> str:
    """`core_v1`, `apps_v1`, `rbac_v1`: the first label of the group and the version."""
    return f"{group.split('.')[0] or 'core'}_{version}"


def of(group: str, version: str, kind: str) -> type[Object]:
    """The struct of a built-in kind. Raises KeyError."""
    try:
        module = importlib.import_module(f"{__name__}.{module_name(group, version)}")
        return getattr(module, kind)
    except (ImportError, AttributeError) as error:
        raise KeyError((group, version, kind)) from error


_encoder = msgspec.json.Encoder()


def encode(obj: Object) -> bytes:
    """The object as JSON, `apiVersion` and `kind` first."""
    api = obj.API
    body = _encoder.encode(obj)
    head = f'{{"apiVersion":"{api.api_version}","kind":"{api.kind}"'.encode()
    return head + b"}" if body == b"{}" else head + b"," + body[1:]


def tree(obj: Struct) -> dict[str, Any]:
    """The struct as a JSON tree; with `apiVersion` and `kind` when it is a top-level object."""
    return msgspec.json.decode(encode(obj) if isinstance(obj, Object) else _encoder.encode(obj))
