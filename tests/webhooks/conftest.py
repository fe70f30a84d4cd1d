from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from webhook_world import Api, Webhooks, api_server, webhook_servers


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with api_server() as made:
        yield made


@pytest.fixture
async def hooks(tmp_path: Path) -> AsyncIterator[Webhooks]:
    async with webhook_servers(tmp_path, "hook.default.svc") as made:
        yield made
