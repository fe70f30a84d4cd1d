"""Subresources with a body or a protocol of their own; `install` hangs them into the router."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from minikube_api.server.server import Server


def install(server: Server) -> None:
    """Register all handlers."""
