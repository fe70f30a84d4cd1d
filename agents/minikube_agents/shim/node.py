"""A node's shim: sandboxes and containers behind the socket. Forked by the cluster's shim into the node's own namespaces.

On start it reads what its predecessor left in the state file: those containers died with it (or are killed now), and are reported as exited with
137, so that the kubelet restarts them by their policy.
"""

from __future__ import annotations

import os
import signal
import socket
import time

from minikube_agents.shim import addresses, cgroups, containers, identity, journal, libc, sandboxes, state
from minikube_agents.shim import loop as loops
from minikube_agents.shim.launching import PidNamespaces
from minikube_agents.shim.server import Call, Refused, Server

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

#: of a sandbox's configuration, what a later client must find again
KEPT = ("namespace", "name", "uid", "attempt", "labels", "annotations", "hostname", "log_directory", "pid_mode")
#: after that, a pod's link is deleted even if something still holds its network namespace open
LINGER_SECONDS = 5.0
LOST = "the node's shim ended, and the container with it"


class Sandbox:
    """What lives of a sandbox besides its record."""

    def __init__(self, namespaces: sandboxes.Namespaces, veth: int, shm: str, files: dict[str, str]) -> None:
        self.namespaces = namespaces
        self.veth = veth
        self.shm = shm
        self.files = files
        self.pause_pid = 0
        self.pause_pidfd = -1


class NodeServer(Server):
    def __init__(self, listener: socket.socket, config: dict[str, Any]) -> None:
        """`config`: name, cluster, directory, data_directory, journal, pod_cidr, node_ip, mtu, userns, can_set_groups."""
        super().__init__(listener, loops.Loop())
        self.directory: str = config["directory"]
        self.data_directory: str = config["data_directory"]
        self.userns: bool = config["userns"]
        self._config = config
        self.state = state.StateFile(os.path.join(self.directory, "state.jsonl"))
        self._journal = journal.Journal(config["journal"])
        base = f"minikube-py/{config['cluster']}/{config['name']}"
        self.cgroups = cgroups.Cgroups(base, self._journal_cgroup)
        self.pids = PidNamespaces()
        self._own = sandboxes.Namespaces()
        self._pool = addresses.Pool(config["pod_cidr"])
        self._wiring = sandboxes.Wiring(addresses.nth(config["pod_cidr"], 1), config["mtu"])
        self._live: dict[str, Sandbox] = {}
        self.execs: dict[str, containers.Exec] = {}
        self.containers = containers.Containers(self)
        self._take_over()

    def _journal_cgroup(self, directory: str) -> None:
        self._journal.write("cgroup", path=os.path.join(directory, self._config["cluster"]))

    def _take_over(self) -> None:
        libc.prctl(libc.PR_SET_CHILD_SUBREAPER, 1)
        for container_id, record in list(self.state.tables["container"].items()):
            if record.get("identity"):
                identity.kill(record["identity"], signal.SIGKILL)
            if record["state"] in ("created", "running"):
                changes = {"state": "exited", "finished_at": time.time(), "exit_code": 137, "pid": 0, "reason": "Error"}
                self.state.put("container", container_id, {**changes, "message": LOST}, durable=True)
        for sandbox_id, record in list(self.state.tables["sandbox"].items()):
            if record["state"] == "ready":
                self.state.put("sandbox", sandbox_id, {"state": "notready"})
        os.makedirs(os.path.join(self.directory, "containers"), exist_ok=True)
        trash = os.path.join(self.directory, "trash")
        os.makedirs(trash, exist_ok=True)
        for name in os.listdir(trash):
            self._delete(os.path.join(trash, name))

    # -- sandboxes -------------------------------------------------------------------------------------------------------

    def sandbox(self, sandbox_id: str) -> dict[str, Any]:
        record = self.state.tables["sandbox"].get(sandbox_id)
        if record is None:
            raise Refused("notfound", f"sandbox {sandbox_id!r} not found")
        return record

    def live_sandbox(self, sandbox_id: str) -> Sandbox:
        self.sandbox(sandbox_id)
        live = self._live.get(sandbox_id)
        if live is None:
            raise Refused("conflict", f"sandbox {sandbox_id!r} is not ready")
        return live

    def group(self, sandbox_id: str) -> str:
        return f"pod{self.sandbox(sandbox_id)['uid']}/{sandbox_id[:16]}"

    def op_run_sandbox(self, call: Call) -> dict[str, Any]:
        config = call.request["config"]
        sandbox_id = os.urandom(32).hex()
        address = self._config["node_ip"] if config["host_network"] else self._pool.take()
        try:
            namespaces, veth = sandboxes.make_namespaces(self._own, config, self._wiring, address)
        except OSError:
            if not config["host_network"]:
                self._pool.give_back(address)
            raise
        directory = os.path.join(self.directory, "sandboxes", sandbox_id)
        files = sandboxes.write_files(directory, config, address)
        shm = os.path.join(directory, "shm")
        sandboxes.mount_shm(shm)
        live = self._live[sandbox_id] = Sandbox(namespaces, veth, shm, files)
        record = {
            **{name: config[name] for name in KEPT},
            "id": sandbox_id,
            "state": "ready",
            "created_at": time.time(),
            "ip": address,
            "host_network": config["host_network"],
            "ports": config["ports"],
        }
        self.state.put("sandbox", sandbox_id, record)
        group = self.group(sandbox_id)
        self.cgroups.make(os.path.dirname(group), is_leaf=False)
        self.cgroups.make(group, is_leaf=False)
        self._limit_pod(sandbox_id, config)
        if config["pid_mode"] == "pod":
            self._start_pause(sandbox_id, live, group)
        self._publish("sandbox-started", record)
        return {"sandbox": sandbox_id, "ip": address}

    def _limit_pod(self, sandbox_id: str, limits: dict[str, Any]) -> None:
        names = ("cpu_limit", "cpu_request", "memory_limit")
        self.cgroups.limit(os.path.dirname(self.group(sandbox_id)), **{name: limits[name] for name in names})

    def op_update_sandbox(self, call: Call) -> dict[str, Any]:
        self._limit_pod(call.request["sandbox"], call.request["limits"])
        return {}

    def _start_pause(self, sandbox_id: str, live: Sandbox, group: str) -> None:
        self.cgroups.make(f"{group}/pause", is_leaf=True)
        live.pause_pid = sandboxes.fork_pause(self.pids, self.cgroups.entrances(f"{group}/pause"))
        live.pause_pidfd = os.pidfd_open(live.pause_pid)
        self.children[live.pause_pid] = lambda _status: os.close(live.pause_pidfd)
        self.state.put("sandbox", sandbox_id, {"pause": identity.of(live.pause_pid)})

    def _publish(self, kind: str, record: dict[str, Any]) -> None:
        self.publish({"type": kind, "sandbox_id": record["id"], "pod_uid": record["uid"], "container_id": ""})

    def _stop_sandbox(self, sandbox_id: str, done: Callable[[], None]) -> None:
        record = self.state.tables["sandbox"].get(sandbox_id)
        if record is None:
            done()
            return
        mine = [key for key, other in self.state.tables["container"].items() if other["sandbox"] == sandbox_id]
        waiting = [key for key in mine if key in self.containers.running]

        def ended(container_id: str) -> None:
            waiting.remove(container_id)
            if not waiting:
                self._dismantle(record)
                done()

        for container_id in list(waiting):
            self.containers.stop(container_id, 0, lambda container_id=container_id: ended(container_id))
        if not waiting:
            self._dismantle(record)
            done()

    def _dismantle(self, record: dict[str, Any]) -> None:
        live = self._live.pop(record["id"], None)
        if live is None:
            return
        if live.pause_pid:
            containers.send_signal(live.pause_pidfd, signal.SIGKILL)
        if live.veth:
            self._wiring.unroute(record["ip"], live.veth)
            self.loop.call_later(LINGER_SECONDS, lambda: self._wiring.disconnect(live.veth))
            self._pool.give_back(record["ip"])
        live.namespaces.close()
        libc.umount(live.shm)
        self.state.put("sandbox", record["id"], {"state": "notready"})
        self._publish("sandbox-stopped", record)

    def op_stop_sandbox(self, call: Call) -> None:
        self._stop_sandbox(call.request["sandbox"], call.reply)

    def op_remove_sandbox(self, call: Call) -> None:
        sandbox_id = call.request["sandbox"]

        def stopped() -> None:
            for container_id, record in list(self.state.tables["container"].items()):
                if record["sandbox"] == sandbox_id:
                    self.containers.remove(container_id, lambda: None)
            if sandbox_id in self.state.tables["sandbox"]:
                group = self.group(sandbox_id)
                for path in (f"{group}/pause", group, os.path.dirname(group)):
                    self.remove_group(path)
                self.state.delete("sandbox", sandbox_id)
                self.discard(os.path.join(self.directory, "sandboxes", sandbox_id))
            call.reply()

        self._stop_sandbox(sandbox_id, stopped)

    def op_list(self, call: Call) -> dict[str, Any]:
        """Sandboxes and containers (without their specs); all, or those of `sandbox`, or just `container`."""
        sandbox_id, container_id = call.request.get("sandbox"), call.request.get("container")
        tables = self.state.tables
        found = [
            {name: value for name, value in record.items() if name not in ("spec", "identity")}
            for record in tables["container"].values()
            if sandbox_id in (None, record["sandbox"]) and container_id in (None, record["id"])
        ]
        pods = [record for key, record in tables["sandbox"].items() if sandbox_id in (None, key) and not container_id]
        return {"sandboxes": pods, "containers": found}

    # -- containers ------------------------------------------------------------------------------------------------------

    def op_create_container(self, call: Call) -> dict[str, Any]:
        return {"container": self.containers.create(call.request)}

    def op_start_container(self, call: Call) -> None:
        self.containers.start(call)

    def op_stop_container(self, call: Call) -> None:
        self.containers.stop(call.request["container"], call.request["grace"], call.reply)

    def op_signal_container(self, call: Call) -> dict[str, Any]:
        containers.send_signal(self.containers.live(call.request["container"]).pidfd, call.request["signal"])
        return {}

    def op_remove_container(self, call: Call) -> None:
        self.containers.remove(call.request["container"], call.reply)

    def op_update_container(self, call: Call) -> dict[str, Any]:
        self.containers.update(call.request["container"], call.request["limits"])
        return {}

    def op_exec(self, call: Call) -> None:
        self.containers.exec(call)

    def op_wait_exec(self, call: Call) -> None:
        session = self.execs.get(call.request["exec"])
        if session is None:
            raise Refused("notfound", f"exec {call.request['exec']!r} not found")

        def ended(code: int) -> None:
            self.execs.pop(call.request["exec"], None)
            call.reply({"code": code})

        session.when_ended(ended)

    def op_kill_exec(self, call: Call) -> dict[str, Any]:
        session = self.execs.get(call.request["exec"])
        if session is not None:
            session.kill()
        return {}

    def op_attach(self, call: Call) -> None:
        self.containers.attach(call)

    def op_resize(self, call: Call) -> dict[str, Any]:
        self.containers.resize(call.request["container"], call.request["width"], call.request["height"])
        return {}

    def op_wait_container(self, call: Call) -> None:
        """Answers when the container has ended."""
        container_id = call.request["container"]

        def answer() -> None:
            call.reply({"code": self.containers.record(container_id).get("exit_code", 0)})

        self.containers.record(container_id)
        live = self.containers.running.get(container_id)
        if live is None:
            answer()
        else:
            live.waiting_for_exit.append(answer)

    def op_reopen_log(self, call: Call) -> dict[str, Any]:
        live = self.containers.live(call.request["container"])
        if live.streams:
            live.streams.log.reopen()
        return {}

    def op_stats(self, call: Call) -> dict[str, Any]:
        wanted = call.request.get("sandbox")
        found = []
        for container_id in self.containers.running:
            record = self.containers.record(container_id)
            if not wanted or record["sandbox"] == wanted:
                usage = self.cgroups.usage(self.containers.group(record)) or _usage(record["pid"])
                found.append({"id": container_id, "name": record["name"], "time": time.time(), **usage})
        return {"containers": found}

    def op_capabilities(self, _call: Call) -> dict[str, Any]:
        """What this node can give: cgroup controllers, several users."""
        return {
            "controllers": sorted(self.cgroups.controllers),
            "userns": self.userns,
            "can_set_groups": self._config["can_set_groups"],
        }

    # -- the node --------------------------------------------------------------------------------------------------------

    def namespace(self, call: Call) -> int:
        sandbox_id = call.request.get("sandbox")
        return self.live_sandbox(sandbox_id).namespaces.net if sandbox_id else -1

    def op_mount_tmpfs(self, call: Call) -> dict[str, Any]:
        """A tmpfs in the node's mount namespace (emptyDir with medium Memory): seen by containers, not by the host. `size` in
        bytes, 0 = half the RAM."""
        os.makedirs(call.request["path"], exist_ok=True)
        size = f",size={call.request['size']}" if call.request["size"] else ""
        libc.mount("tmpfs", call.request["path"], "tmpfs", libc.MS_NOSUID | libc.MS_NODEV, f"mode=1777{size}")
        return {}

    def op_umount(self, call: Call) -> dict[str, Any]:
        libc.umount(call.request["path"])
        return {}

    def op_remove_tree(self, call: Call) -> None:
        """Delete a directory with the node's rights: in a user namespace, files of other ids too."""
        pid = self._delete(call.request["path"])
        self.children[pid] = lambda status: call.reply({"code": os.waitstatus_to_exitcode(status)})

    def discard(self, path: str) -> None:
        """Out of the way at once, deleted in the background."""
        target = os.path.join(self.directory, "trash", os.urandom(8).hex())
        try:
            os.rename(path, target)
        except FileNotFoundError:
            return
        self._delete(target)

    @staticmethod
    def _delete(path: str) -> int:
        return os.posix_spawnp("rm", ["rm", "-rf", "--one-file-system", "--", path], dict(os.environ))

    def remove_group(self, group: str, patience: int = 50) -> None:
        if not self.cgroups.remove(group) and patience:
            self.loop.call_later(0.05, lambda: self.remove_group(group, patience - 1))

    def shut_down(self, done: Callable[[], None]) -> None:
        """End all containers. Their records stay: the next shim reports them as ended."""
        waiting = set(self.containers.running)

        def finish() -> None:
            done()
            self.loop.stop()

        def ended(container_id: str) -> None:
            waiting.discard(container_id)
            if not waiting:
                self.loop.call_later(0, finish)

        for container_id in list(waiting):
            self.containers.stop(container_id, 0, lambda container_id=container_id: ended(container_id))
        if not waiting:
            finish()


def _usage(pid: int) -> dict[str, float]:
    """Without cgroups: the sum over the processes of the container's PID namespace."""
    try:
        mine = os.stat(f"/proc/{pid}/ns/pid").st_ino
    except OSError:
        return {}
    ticks, pages = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
    cpu, memory = 0.0, 0
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                if os.stat(f"/proc/{name}/ns/pid").st_ino != mine:
                    continue
                with open(f"/proc/{name}/stat", "rb") as file:
                    fields = file.read().rpartition(b")")[2].split()
            except OSError:
                continue  # ended while we looked
            cpu += (int(fields[11]) + int(fields[12])) / ticks
            memory += int(fields[21]) * pages
    return {"cpu": cpu, "memory": memory, "working_set": memory}
