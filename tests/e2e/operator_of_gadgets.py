"""A kopf operator on a kind of its own, run by `kopf run`: it brings `status.size` to `spec.size`, under its finalizer.

Its group comes in the environment (GADGETS), for each test has its own.
"""

from __future__ import annotations

import os
from typing import Any

import kopf

GADGETS = (os.environ["GADGETS"], "v1", "gadgets")


@kopf.on.startup()
def configure(settings: kopf.OperatorSettings, **_: Any) -> None:
    settings.persistence.finalizer = "example.test/gadgets"


@kopf.on.create(*GADGETS)
def build(spec: kopf.Spec, patch: kopf.Patch, **_: Any) -> dict[str, Any]:
    patch.status["size"] = spec["size"]
    patch.status["phase"] = "Built"
    return {"size": spec["size"]}


@kopf.on.update(*GADGETS, field="spec.size")
def resize(old: int, new: int, patch: kopf.Patch, **_: Any) -> None:
    patch.status["size"] = new
    patch.status["phase"] = f"Resized-{old}-to-{new}"


@kopf.on.delete(*GADGETS)
def scrap(name: str, body: kopf.Body, **_: Any) -> None:
    if body["spec"].get("colour") == "red":
        raise kopf.TemporaryError(f"{name} is red", delay=1)
    kopf.info(body, reason="Scrapped", message=f"Took {name} apart.")
