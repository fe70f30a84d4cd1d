"""What an empty cluster holds: namespaces, the kubernetes Service with its endpoints, and what other rooms add."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from minikube_api.meta.errors import AlreadyExists, StatusError
from minikube_api.server.context import Object, UserInfo

if TYPE_CHECKING:
    from minikube_api.server.server import Server


class Bootstrap:
    def __init__(self, server: Server) -> None:
        self._server = server

    async def run(self) -> None:
        return None


_ = (AlreadyExists, StatusError, Object, UserInfo, asyncio)
