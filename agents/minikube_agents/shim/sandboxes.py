"""A pod's shared part: network, IPC and UTS namespaces held by descriptors, one veth pair, an address, /dev/shm, and the files that name it.

No process is needed to hold namespaces, so making a sandbox forks nothing. Only with a shared PID namespace there is a pause process: its PID 1.
Pods are routed, not bridged: each has a /32 address and its own veth on the node; the gateway's address stands on the node's loopback, from where
it answers ARP. So connection tracking sees both directions of every flow, and a Service's source addresses stay what they are.
"""

from __future__ import annotations

import errno
import os
import signal
import socket

from minikube_agents.shim import libc, netlink
from minikube_agents.shim.launching import PidNamespaces, reset_signals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

POD_INTERFACE_INDEX = 2


class Namespaces:
    """Descriptors of the network, IPC and UTS namespaces that the process is in."""

    def __init__(self) -> None:
        self.net, self.ipc, self.uts = (
            os.open(f"/proc/self/ns/{name}", os.O_RDONLY | os.O_CLOEXEC) for name in ("net", "ipc", "uts")
        )

    def enter(self) -> None:
        for fd in (self.net, self.ipc, self.uts):
            libc.setns(fd)

    def close(self) -> None:
        for fd in (self.net, self.ipc, self.uts):
            os.close(fd)


def write_sysctls(values: dict[str, str]) -> None:
    """Of the namespaces that the process is in. OSError names the one that can't be set."""
    for name, value in values.items():
        with open("/proc/sys/" + name.replace(".", "/"), "w") as file:
            file.write(value)


def veth_name(index: int) -> str:
    return f"pod{index}"


class Wiring:
    """The node's side: its route socket, the pods' gateway, the next interface index."""

    def __init__(self, gateway: str, mtu: int) -> None:
        self.route = netlink.Socket()
        self._gateway = gateway
        self._mtu = mtu
        self._next_index = 100

    def connect(self, namespace: Namespaces, address: str) -> int:
        """A veth pair with `eth0` in the pod; the index of the node's end. `loopback` must be up before (see make)."""
        index = self._next_index
        self._next_index += 1
        self.route.apply(
            netlink.add_veth(
                veth_name(index),
                "eth0",
                peer_ns=namespace.net,
                index=index,
                peer_index=POD_INTERFACE_INDEX,
                mtu=self._mtu,
            ),
            netlink.add_route(f"{address}/32", index=index, source=self._gateway),
        )
        return index

    def unroute(self, address: str, index: int) -> None:
        """The pod is gone for the node; the pair itself dies with the pod's namespace. (Deleting it here would wait 10 ms for RCU.)"""
        self._apply_to_gone(netlink.delete_route(f"{address}/32", index=index))

    def disconnect(self, index: int) -> None:
        """For a pair whose namespace is held open by somebody's socket."""
        self._apply_to_gone(netlink.delete_link_index(index))

    def _apply_to_gone(self, message: netlink.Message) -> None:
        try:
            self.route.apply(message)
        except OSError as error:
            if error.errno not in (errno.ENODEV, errno.ESRCH):
                raise

    def configure(self, pod_route: netlink.Socket, address: str) -> None:
        """The pod's side: address, way out."""
        pod_route.apply(
            netlink.set_link(POD_INTERFACE_INDEX, up=True),
            netlink.add_address(POD_INTERFACE_INDEX, address, 32),
            netlink.add_route(f"{self._gateway}/32", index=POD_INTERFACE_INDEX),
            netlink.add_route("0.0.0.0/0", via=self._gateway, index=POD_INTERFACE_INDEX),
        )


def make_namespaces(node: Namespaces, config: dict[str, Any], wiring: Wiring, address: str) -> tuple[Namespaces, int]:
    """(the pod's namespaces, index of its veth on the node; 0 = on the node's own network)."""
    flags = 0 if config["host_network"] else libc.CLONE_NEWNET | libc.CLONE_NEWUTS
    flags |= 0 if config["host_ipc"] else libc.CLONE_NEWIPC
    if flags:
        libc.unshare(flags)
    own = Namespaces()
    index = 0
    try:
        if not config["host_network"]:
            socket.sethostname(config["hostname"])
            with netlink.Socket() as pod_route:
                pod_route.apply(netlink.set_link(netlink.LOOPBACK, up=True))
                index = wiring.connect(own, address)
                wiring.configure(pod_route, address)
        write_sysctls({"net.ipv4.ip_unprivileged_port_start": "0"} if index else {})
        write_sysctls(config["sysctls"])
    except OSError:
        node.enter()
        if index:
            wiring.disconnect(index)
        own.close()
        raise
    node.enter()
    return own, index


def mount_shm(path: str) -> None:
    os.makedirs(path, exist_ok=True)
    libc.mount("shm", path, "tmpfs", libc.MS_NOSUID | libc.MS_NODEV | libc.MS_NOEXEC, "mode=1777,size=67108864")


def fork_pause(pids: PidNamespaces, entrances: list[str]) -> int:
    """PID 1 of a shared PID namespace: reaps orphans until SIGTERM or SIGKILL."""
    pid = pids.fork(None)
    if pid:
        return pid
    try:
        reset_signals()
        libc.prctl(libc.PR_SET_PDEATHSIG, signal.SIGKILL)
        for entrance in entrances:
            with open(entrance, "w") as file:
                file.write("0")
        os.closerange(3, 1 << 16)
        os.setsid()
        signal.signal(signal.SIGTERM, lambda _number, _frame: os._exit(0))
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
        while True:
            signal.sigwaitinfo([signal.SIGCHLD])
            _reap()
    finally:
        os._exit(1)


def _reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return


def write_files(directory: str, config: dict[str, Any], address: str) -> dict[str, str]:
    """/etc/hostname, /etc/hosts and /etc/resolv.conf of the pod: container path -> file. A mount of the kubelet's own wins over them."""
    os.makedirs(directory, exist_ok=True)
    hostname = config["hostname"] if not config["host_network"] else os.uname().nodename
    hosts = f"127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n{address}\t{hostname}\n"
    dns = config["dns"]
    lines = [f"search {' '.join(dns['searches'])}"] if dns["searches"] else []
    lines += [f"nameserver {server}" for server in dns["servers"]]
    lines += [f"options {' '.join(dns['options'])}"] if dns["options"] else []
    contents = {"hostname": hostname + "\n", "hosts": hosts, "resolv.conf": "".join(line + "\n" for line in lines)}
    for name, text in contents.items():
        with open(os.path.join(directory, name), "w") as file:
            file.write(text)
    return {f"/etc/{name}": os.path.join(directory, name) for name in contents}
