"""Where rules go: nftables on a node, or nothing but sockets where nftables can't be had (`forwarding`)."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from minikube_agents.proxy import nft
from minikube_agents.proxy.rules import PortRules

log = logging.getLogger(__name__)

#: run a program in the node's network namespace: (argv, stdin) -> (exit code, stdout, stderr)
Run = Callable[[list[str], bytes], Awaitable[tuple[int, bytes, bytes]]]


class BackendError(Exception):
    """The rules could not be put in place; the proxy tries again with all of them."""


class Backend(Protocol):
    async def start(self) -> None:
        """Begin from nothing: whatever an earlier run left is replaced."""
        ...

    async def apply(self, changes: Mapping[str, PortRules | None]) -> None:
        """Put changed service ports in place, keyed by `PortRules.key`; None = gone. Raises BackendError and has then changed nothing."""
        ...

    async def close(self) -> None: ...


class NftBackend:
    """One nftables table, changed by one `nft -f -` transaction a batch."""

    def __init__(self, run: Run, *, table: str, pod_cidr: str, node_ports: bool = True, program: str = "nft") -> None:
        self._run, self.table, self.pod_cidr, self.node_ports, self.program = run, table, pod_cidr, node_ports, program
        self._applied: dict[str, nft.Rendered] = {}

    async def start(self) -> None:
        self._applied = {}
        await self._load(nft.base(self.table, pod_cidr=self.pod_cidr, node_ports=self.node_ports))

    async def apply(self, changes: Mapping[str, PortRules | None]) -> None:
        rendered = {key: nft.render(rules) if rules else nft.NOTHING for key, rules in changes.items()}
        text = nft.changes(self.table, [(self._applied.get(key, nft.NOTHING), new) for key, new in rendered.items()])
        if not text:
            return
        await self._load(text)
        for key, new in rendered.items():
            if new is nft.NOTHING:
                self._applied.pop(key, None)
            else:
                self._applied[key] = new

    async def close(self) -> None:
        """The rules stay: traffic goes on while a proxy restarts. `down` removes the table with its namespace."""

    async def _load(self, text: str) -> None:
        code, _, err = await self._run([self.program, "-f", "-"], text.encode())
        if code:
            raise BackendError(f"nft: exit code {code}: {err.decode(errors='replace').strip()[:500]}")
