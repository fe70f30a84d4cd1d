"""A CustomResourceDefinition for the clients' tests: Gadgets, in a group of the test's own so that no two tests meet."""

from __future__ import annotations

from tests.e2e.manifests import Tree

SPEC: Tree = {
    "type": "object",
    "properties": {
        "size": {"type": "integer", "minimum": 0, "default": 1},
        "colour": {"type": "string", "enum": ["red", "green"]},
    },
}
STATUS: Tree = {
    "type": "object",
    "properties": {"size": {"type": "integer"}, "phase": {"type": "string"}},
    "x-kubernetes-preserve-unknown-fields": True,
}


def gadgets(group: str) -> Tree:
    """The definition: defaults, an enum, a printed column, and the subresources status and scale."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"gadgets.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": "gadgets", "singular": "gadget", "kind": "Gadget", "listKind": "GadgetList"},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": SPEC, "status": STATUS}}},
                    "subresources": {
                        "status": {},
                        "scale": {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.size"},
                    },
                    "additionalPrinterColumns": [{"name": "Phase", "type": "string", "jsonPath": ".status.phase"}],
                }
            ],
        },
    }


def gadget(group: str, name: str, **spec: object) -> Tree:
    return {"apiVersion": f"{group}/v1", "kind": "Gadget", "metadata": {"name": name}, "spec": spec}
