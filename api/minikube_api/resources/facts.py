"""Facts of the served kinds, read from `resources.tsv` beside this module: group, version, kind, plural, names, scope, verbs, subresources.

The file lists what kube-apiserver 1.36 answers in discovery, in its order. A row `pods/status` is a subresource of the row `pods`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from importlib import resources as package_files

from minikube_api.resources.resource import Subresource


@dataclass(frozen=True, slots=True)
class KindFacts:
    group: str
    version: str
    kind: str
    plural: str
    singular: str
    short_names: tuple[str, ...]
    categories: tuple[str, ...]
    namespaced: bool
    verbs: tuple[str, ...]
    subresources: dict[str, Subresource] = field(default_factory=dict)


#: kinds that subresources take or give and whose own group and version differ from the resource's
_BODY_GROUPS = {"Scale": ("autoscaling", "v1"), "Eviction": ("policy", "v1"), "TokenRequest": ("authentication.k8s.io", "v1")}


@cache
def kinds() -> tuple[KindFacts, ...]:
    """Every served kind with its subresources, in discovery's order."""
    text = package_files.files(__package__).joinpath("resources.tsv").read_text()
    found: dict[tuple[str, str, str], KindFacts] = {}
    for line in text.splitlines()[1:]:
        group, version, kind, path, singular, short, categories, scope, verbs = line.split("\t")
        plural, slash, sub = path.partition("/")
        if slash:
            body = kind.rpartition("/")[2]
            body_group, body_version = _BODY_GROUPS.get(body, (group, version))
            subresource = Subresource(name=sub, kind=body, group=body_group, version=body_version, verbs=_names(verbs))
            found[group, version, plural].subresources[sub] = subresource
        else:
            found[group, version, plural] = KindFacts(
                group, version, kind, plural, singular, _names(short), _names(categories), scope == "Namespaced", _names(verbs)
            )
    return tuple(found.values())


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split(",")) if text else ()
