"""Pod templates: their hash (the `pod-template-hash` label), comparison, and the pods made from them. Pure."""

from __future__ import annotations

import hashlib
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from minikube_api.schema.typed.core_v1 import Pod, PodTemplateSpec
from minikube_api.schema.typed.meta_v1 import ObjectMeta, OwnerReference

HASH_LABEL: Final = "pod-template-hash"
#: Kubernetes' alphabet for generated names: no vowels, so no words; no 0, 1, 3.
ALPHABET: Final = "bcdfghjklmnpqrstvwxz2456789"

_encoder = msgspec.json.Encoder(order="deterministic")


def safe_encode(number: int) -> str:
    """apimachinery's rand.SafeEncodeString of a decimal number: each digit as a letter of the alphabet."""
    return "".join(ALPHABET[ord(digit) % len(ALPHABET)] for digit in str(number))


def hash_of(value: Any, collision_count: int | None = None) -> str:
    """Stable name part for a struct. Kubernetes hashes Go's memory dump (FNV); only stability and alphabet matter to anybody."""
    digest = hashlib.blake2b(_encoder.encode(value), digest_size=4)
    if collision_count is not None:
        digest.update(collision_count.to_bytes(8, "little"))
    return safe_encode(int.from_bytes(digest.digest(), "little"))


def template_hash(template: PodTemplateSpec, collision_count: int | None) -> str:
    return hash_of(template, collision_count)


def without_hash(template: PodTemplateSpec) -> PodTemplateSpec:
    labels = template.metadata.labels
    if HASH_LABEL not in labels:
        return template
    kept = {key: value for key, value in labels.items() if key != HASH_LABEL}
    return replace(template, metadata=replace(template.metadata, labels=kept))


def equal_ignoring_hash(one: PodTemplateSpec | None, other: PodTemplateSpec | None) -> bool:
    if one is None or other is None:
        return one is other
    return without_hash(one) == without_hash(other)


def pod_from(
    template: PodTemplateSpec,
    owner: Any,
    reference: OwnerReference,
    *,
    name: str = "",
    labels: dict[str, str] | None = None,
    annotations: dict[str, str] | None = None,
) -> Pod:
    """The pod that a controller creates; without `name` its name is generated from the owner's, as Kubernetes does."""
    prefix = f"{owner.metadata.name}-"
    meta = template.metadata
    return Pod(
        metadata=ObjectMeta(
            name=name,
            generateName=None if name else prefix,
            namespace=owner.metadata.namespace,
            labels={**meta.labels, **(labels or {})},
            annotations={**meta.annotations, **(annotations or {})},
            finalizers=meta.finalizers,
            ownerReferences=(reference,),
        ),
        spec=template.spec,
    )
