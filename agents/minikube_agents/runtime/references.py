"""Image names, as Docker and containerd read them: `nginx` is `docker.io/library/nginx:latest`. Pure. Source: the reference
grammar of distribution."""

from __future__ import annotations

import re

from minikube_agents.runtime.contract import ImageNotFound

_PATH = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*")
_DOMAIN = re.compile(r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*(?::[0-9]+)?")
_TAG = re.compile(r"[\w][\w.-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class InvalidImageName(ImageNotFound):
    reason = "InvalidImageName"


def normalize(image: str) -> str:
    """With domain, `library/` and tag filled in; a name with a digest keeps no tag. InvalidImageName for what is none."""
    name, _, digest = image.partition("@")
    if digest and not _DIGEST.fullmatch(digest):
        raise _invalid(image)
    head, slash, rest = name.partition("/")
    has_domain = bool(slash) and ("." in head or ":" in head or head == "localhost")
    domain, path = (head, rest) if has_domain else ("docker.io", name)
    path, colon, tag = path.partition(":")
    if not has_domain and "/" not in path:
        path = f"library/{path}"
    if domain == "index.docker.io":
        domain = "docker.io"
    valid_tag = _TAG.fullmatch(tag) if colon else True
    if not (_DOMAIN.fullmatch(domain) and _PATH.fullmatch(path) and valid_tag):
        raise _invalid(image)
    return f"{domain}/{path}@{digest}" if digest else f"{domain}/{path}:{tag or 'latest'}"


def _invalid(image: str) -> InvalidImageName:
    return InvalidImageName(
        f'Failed to apply default image tag "{image}": couldn\'t parse image name "{image}": invalid reference format'
    )
