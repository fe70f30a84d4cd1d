"""The cluster's shim: holds the cluster's network, and forks a shim for each node into namespaces of its own.

The nodes' bridge stands in a network namespace that only this process holds, so it is gone when the process is, and no firewall rule of the machine
sees traffic between nodes. Mode `host` (as root) adds one veth pair from the bridge into the machine's namespace, with the control plane's
address (.1) and routes to pods and Services; mode `private` puts that address on the bridge, and the process stays in its namespace.
A node's shim is killed when this one dies (PDEATHSIG), and its containers with it: nothing half-connected stays behind.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys

from minikube_agents.shim import addresses, identity, journal, libc, netlink, userns
from minikube_agents.shim import loop as loops
from minikube_agents.shim.server import Call, Refused, Server

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

BRIDGE = "nodes"
NODE_INTERFACE_INDEX = 2
_BRIDGE_INDEX = 10
_FIRST_PORT = 100
_BRIDGE_FILTERS = "/proc/sys/net/bridge/bridge-nf-call-iptables"


class Node:
    """A node that is up: its shim's pid and the namespace it lives in."""

    def __init__(self, index: int, pid: int, address: str, pod_cidr: str, net: int, route: netlink.Socket) -> None:
        self.index = index
        self.pid = pid
        self.address = address
        self.pod_cidr = pod_cidr
        self.net = net
        self.route = route
        #: whether its cable is in
        self.up = True


def _own_net() -> int:
    return os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def prepare_namespace(*, forwarding: bool) -> None:
    """Loopback up, packets forwarded and not shown to iptables on their way over a bridge."""
    netlink.flush([netlink.set_link(netlink.LOOPBACK, up=True)])
    if forwarding:
        _write("/proc/sys/net/ipv4/ip_forward", "1")
    if os.path.exists(_BRIDGE_FILTERS):
        _write(_BRIDGE_FILTERS, "0")


def _write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)


class SwitchServer(Server):
    def __init__(self, listener: socket.socket, config: dict[str, Any]) -> None:
        """`config`: name, mode (host|private), directory, data_directory, journal, link (name of the host's end), node_cidr, pod_cidr,
        service_cidr, mtu, userns (become root in one)."""
        super().__init__(listener, loops.Loop())
        self._listener_fd = listener.fileno()
        self._config = config
        self._journal = journal.Journal(config["journal"])
        self._journal.write("process", identity=identity.of(os.getpid()), name=f"shim of cluster {config['name']}")
        self._nodes: dict[str, Node] = {}
        self._many_ids = userns.enter() if config["userns"] else True
        libc.unshare(libc.CLONE_NEWNS)
        libc.mount("", "/", flags=libc.MS_SLAVE | libc.MS_REC)
        self._make_switch()

    def _make_switch(self) -> None:
        config = self._config
        gateway = addresses.nth(config["node_cidr"], 1)
        prefix = addresses.parse(config["node_cidr"])[1]
        host = _own_net()
        libc.unshare(libc.CLONE_NEWNET)
        self.switch_net = _own_net()
        self._switch = netlink.Socket()
        prepare_namespace(forwarding=True)
        self._switch.apply(netlink.add_bridge(BRIDGE, index=_BRIDGE_INDEX, mtu=config["mtu"]))
        if config["mode"] == "private":
            self._switch.apply(netlink.add_address(_BRIDGE_INDEX, gateway, prefix))
            self._control = self._switch
            os.close(host)
            return
        libc.setns(host, libc.CLONE_NEWNET)
        self._control = netlink.Socket()
        self._journal.write("link", name=config["link"])
        self._control.apply(netlink.add_veth(config["link"], "uplink", peer_ns=self.switch_net, mtu=config["mtu"]))
        index = socket.if_nametoindex(config["link"])
        uplink: int = self.inside(self.switch_net, lambda: socket.if_nametoindex("uplink"))
        self._switch.apply(netlink.set_link(uplink, up=True, master=_BRIDGE_INDEX))
        self._control.apply(netlink.add_address(index, gateway, prefix))
        os.close(host)

    # -- nodes -----------------------------------------------------------------------------------------------------------

    def op_add_node(self, call: Call) -> dict[str, Any]:
        """Fork the shim of a node; answers when the node is wired. A node whose shim died may be added again under its index."""
        name, index = call.request["name"], call.request["index"]
        if name in self._nodes or any(node.index == index for node in self._nodes.values()):
            raise Refused("conflict", f"node {name!r} or its index {index} is there already")
        config = self._config
        address = addresses.nth(config["node_cidr"], 1 + index)
        pod_cidr = addresses.subnet(config["pod_cidr"], 24, index - 1)
        directory = os.path.join(config["directory"], name)
        os.makedirs(directory, mode=0o700, exist_ok=True)
        path = os.path.join(directory, "shim.sock")
        node_config = {
            **config,
            "cluster": config["name"],
            "name": name,
            "directory": directory,
            "node_ip": address,
            "pod_cidr": pod_cidr,
            "can_set_groups": self._many_ids,
        }
        listener = listen(path)
        ours, theirs = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            _run_node(listener, theirs, node_config)
        listener.close()
        theirs.close()
        self.children[pid] = lambda status: self._lost(name, status)
        with ours:
            if ours.recv(1) != b"1":
                raise Refused("setup", f"the shim of node {name!r} did not start; see the shim's log")
            self._journal.write("process", identity=identity.of(pid), name=f"shim of node {name}")
            net = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
            self._nodes[name] = self._wire(index, pid, address, pod_cidr, net)
            ours.send(b"1")
        return {"socket": path, "ip": address, "pod_cidr": pod_cidr, "pid": pid}

    def _wire(self, index: int, pid: int, address: str, pod_cidr: str, net: int) -> Node:
        config = self._config
        port = _FIRST_PORT + index
        with contextlib.suppress(OSError):  # the port of a node that died and was not yet taken down
            self._switch.apply(netlink.delete_link_index(port))
        self._switch.apply(
            netlink.add_veth(
                f"node{index}",
                "eth0",
                peer_ns=net,
                index=port,
                peer_index=NODE_INTERFACE_INDEX,
                # always the same: a node that comes back is found by who has its old address in the neighbour table
                peer_mac=b"\x02mkp" + index.to_bytes(2, "big"),
                mtu=config["mtu"],
                master=_BRIDGE_INDEX,
            )
        )
        route: netlink.Socket = self.inside(net, netlink.Socket)
        prefix = addresses.parse(config["node_cidr"])[1]
        route.apply(
            netlink.set_link(NODE_INTERFACE_INDEX, up=True),
            netlink.add_address(NODE_INTERFACE_INDEX, address, prefix),
            netlink.add_route("0.0.0.0/0", via=addresses.nth(config["node_cidr"], 1), index=NODE_INTERFACE_INDEX),
            netlink.add_address(netlink.LOOPBACK, addresses.nth(pod_cidr, 1), 32),
            *(netlink.add_route(other.pod_cidr, via=other.address) for other in self._nodes.values()),
        )
        for other in self._nodes.values():
            other.route.apply(netlink.add_route(pod_cidr, via=address))
        routes = [netlink.add_route(pod_cidr, via=address)]
        if not self._nodes:
            routes.append(netlink.add_route(config["service_cidr"], via=address))
        self._control.apply(*routes)
        return Node(index, pid, address, pod_cidr, net, route)

    def _lost(self, name: str, status: int) -> None:
        loops.log(f"shim of node {name} ended: {os.waitstatus_to_exitcode(status)}")
        node = self._nodes.pop(name, None)
        if node is not None:
            self._unwire(node)
        self.publish({"type": "node-lost", "name": name})

    def _unwire(self, node: Node) -> None:
        node.route.close()
        os.close(node.net)
        with contextlib.suppress(OSError):  # gone with the node's namespace already
            self._switch.apply(netlink.delete_link_index(_FIRST_PORT + node.index))
        with contextlib.suppress(OSError):
            self._control.apply(netlink.delete_route(node.pod_cidr, via=node.address))
        for other in self._nodes.values():
            with contextlib.suppress(OSError):
                other.route.apply(netlink.delete_route(node.pod_cidr, via=node.address))
        if self._nodes:
            first = next(iter(self._nodes.values()))
            self._control.apply(netlink.add_route(self._config["service_cidr"], via=first.address))

    def _node(self, call: Call) -> Node:
        node = self._nodes.get(call.request["name"])
        if node is None:
            raise Refused("notfound", f"node {call.request['name']!r} not found")
        return node

    def op_remove_node(self, call: Call) -> None:
        node = self._node(call)
        lost = self.children[node.pid]

        def ended(status: int) -> None:
            lost(status)
            call.reply()

        self.children[node.pid] = ended
        os.kill(node.pid, signal.SIGTERM)

    def op_plug(self, call: Call) -> dict[str, Any]:
        """Take the node's cable out or put it in."""
        node = self._node(call)
        node.up = call.request["up"]
        self._switch.apply(netlink.set_link(_FIRST_PORT + node.index, up=node.up))
        self.publish({"type": "node-plug", "name": call.request["name"], "up": node.up})
        return {}

    def op_local_range(self, call: Call) -> dict[str, Any]:
        """Make a range of addresses the node's own: sockets may listen on each (Services without nftables)."""
        self._node(call).route.apply(netlink.add_local_range(call.request["cidr"]))
        return {}

    def op_nodes(self, _call: Call) -> dict[str, Any]:
        nodes = {
            name: {
                "index": node.index,
                "pid": node.pid,
                "ip": node.address,
                "pod_cidr": node.pod_cidr,
                "up": node.up,
                "socket": os.path.join(self._config["directory"], name, "shim.sock"),
            }
            for name, node in self._nodes.items()
        }
        return {"nodes": nodes, "config": self._config, "many_ids": self._many_ids}

    def op_journal(self, call: Call) -> dict[str, Any]:
        """Note something that the caller is about to make and that must be removed at the end."""
        self._journal.write(call.request["kind"], **call.request["what"])
        return {}

    def namespace(self, call: Call) -> int:
        name = call.request.get("name")
        return self._node(call).net if name else -1

    def shut_down(self, done: Callable[[], None]) -> None:
        """End the nodes in order: their shims end their containers."""
        waiting = {node.pid for node in self._nodes.values()}

        def ended(pid: int) -> None:
            waiting.discard(pid)
            if not waiting:
                done()
                self.loop.call_later(0, self.loop.stop)

        for pid in list(waiting):
            self.children[pid] = lambda _status, pid=pid: ended(pid)
            os.kill(pid, signal.SIGTERM)
        if not waiting:
            done()
            self.loop.stop()


def listen(path: str) -> socket.socket:
    """A listening Unix socket at `path`, of any length: through its directory's descriptor, as 108 bytes are the limit of an address."""
    directory, name = os.path.split(path)
    fd = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        before = os.umask(0o177)
        try:
            sock.bind(f"/proc/self/fd/{fd}/{name}")
        finally:
            os.umask(before)
        sock.listen(64)
        return sock
    finally:
        os.close(fd)


def _run_node(listener: socket.socket, sync: socket.socket, config: dict[str, Any]) -> None:
    """In the forked child: become the node's shim; never returns."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        libc.prctl(libc.PR_SET_PDEATHSIG, signal.SIGKILL)
        os.setsid()
        _close_all_but(listener.fileno(), sync.fileno())
        libc.unshare(libc.CLONE_NEWNET | libc.CLONE_NEWUTS | libc.CLONE_NEWIPC | libc.CLONE_NEWNS)
        libc.mount("", "/", flags=libc.MS_SLAVE | libc.MS_REC)
        socket.sethostname(config["name"])
        prepare_namespace(forwarding=True)
        sync.send(b"1")
        if sync.recv(1) == b"1":  # the cluster's side is wired
            sync.close()
            from minikube_agents.shim import node

            node.NodeServer(listener, config).run()
            code = 0
    except BaseException as error:
        import traceback

        loops.log(f"node {config['name']}: {type(error).__name__}: {error}\n{traceback.format_exc()}")
    finally:
        sys.stderr.flush()
        os._exit(code)


def _close_all_but(*keep: int) -> None:
    before = 3
    for fd in [*sorted(keep), 1 << 16]:
        os.closerange(before, fd)
        before = fd + 1
