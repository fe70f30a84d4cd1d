"""The containers of a node: created, started, watched, stopped, removed. Each one's record is in the state file; here is what lives only as long as
the shim does: descriptors, timers, who waits.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import time

from minikube_agents.shim import frames, identity, launching, logs, streams
from minikube_agents.shim import loop as loops
from minikube_agents.shim.server import Call, Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from minikube_agents.shim.node import NodeServer
    from minikube_agents.shim.server import Connection

#: containerd's exit code of a container whose program could not be executed
START_ERROR_CODE = 128


def exit_code(status: int) -> tuple[int, int]:
    """(exit code as a shell sees it, signal) of a wait status."""
    code = os.waitstatus_to_exitcode(status)
    return (128 - code, -code) if code < 0 else (code, 0)


class Launch:
    """A forked child on its way to exec: waits for its word on the sync socket."""

    def __init__(
        self,
        loop: loops.Loop,
        sync: socket.socket,
        started: Callable[[int], None],
        failed: Callable[[dict[str, Any]], None],
    ) -> None:
        """`started(pty master or -1)`, or `failed({"kind", "message", "errno"})`; exactly one is called."""
        self._loop = loop
        self._sync = sync
        self._started = started
        self._failed = failed
        self._master = -1
        sync.setblocking(False)
        loop.add(sync.fileno(), loops.READ, self._ready)

    def _ready(self, _events: int) -> None:
        data, fds = frames.receive(self._sync)
        if fds:
            self._master = fds[0]
            if data == b"{}":
                return
            data = data.removeprefix(b"{}")
        self._loop.remove(self._sync.fileno())
        self._sync.close()
        if not data:
            self._started(self._master)
            return
        if self._master >= 0:
            os.close(self._master)
        self._failed(json.loads(data))


class Container:
    """What is known of a started container besides its record."""

    def __init__(self, pidfd: int, io: streams.Streams | None) -> None:
        self.pidfd = pidfd
        self.streams = io
        self.is_starting = True
        self.waiting_for_exit: list[Callable[[], None]] = []
        self.kill_timer: loops.Timer | None = None


class Containers:
    def __init__(self, node: NodeServer) -> None:
        self._node = node
        self._loop = node.loop
        self._records = node.state.tables["container"]
        self.running: dict[str, Container] = {}

    def record(self, container_id: str) -> dict[str, Any]:
        found = self._records.get(container_id)
        if found is None:
            raise Refused("notfound", f"container {container_id!r} not found")
        return found

    def group(self, record: dict[str, Any]) -> str:
        return f"{self._node.group(record['sandbox'])}/{record['id'][:32]}"

    def base(self, container_id: str) -> str:
        return os.path.join(self._node.directory, "containers", container_id)

    # -- create and start ------------------------------------------------------------------------------------------------

    def create(self, request: dict[str, Any]) -> str:
        sandbox = self._node.sandbox(request["sandbox"])
        if sandbox["state"] != "ready":
            raise Refused("conflict", f"sandbox {request['sandbox']!r} is not ready")
        container_id = os.urandom(32).hex()
        record = {
            **request["record"],
            "id": container_id,
            "sandbox": sandbox["id"],
            "state": "created",
            "created_at": time.time(),
            "spec": request["spec"],
        }
        os.makedirs(self.base(container_id))
        self._node.state.put("container", container_id, record)
        group = self.group(record)
        self._node.cgroups.make(group, is_leaf=True)
        self._limit(group, request["spec"])
        return container_id

    def _limit(self, group: str, limits: dict[str, Any]) -> None:
        names = ("cpu_limit", "cpu_request", "memory_limit")
        self._node.cgroups.limit(group, **{name: limits[name] for name in names})

    def update(self, container_id: str, limits: dict[str, Any]) -> None:
        record = self.record(container_id)
        self._limit(self.group(record), limits)
        self._node.state.put("container", container_id, {"spec": {**record["spec"], **limits}})

    def _pid_namespace(self, record: dict[str, Any]) -> int | None:
        mode = record["spec"]["pid_mode"]
        if mode == "container":
            return None
        if mode == "node":
            return -1
        if mode == "pod":
            return self._node.live_sandbox(record["sandbox"]).pause_pidfd
        return self.live(record["spec"]["target"]).pidfd

    def live(self, container_id: str) -> Container:
        self.record(container_id)
        live = self.running.get(container_id)
        if live is None or live.is_starting:
            raise Refused("conflict", f"container {container_id!r} is not running")
        return live

    def start(self, call: Call) -> None:
        container_id = call.request["container"]
        record = self.record(container_id)
        if record["state"] != "created":
            raise Refused("conflict", f"container {container_id!r} is {record['state']}")
        spec = record["spec"]
        shared = self._node.live_sandbox(record["sandbox"])
        log = logs.Log(record["log_path"])
        pipes = Pipes(spec["stdin"]) if not spec["tty"] else None
        task = {
            **spec,
            "stdio": pipes.inner if pipes else [],
            "entrances": self._node.cgroups.entrances(self.group(record)),
            "namespaces": [shared.namespaces.net, shared.namespaces.ipc, shared.namespaces.uts],
            "root": {
                **spec["root"],
                "base": self.base(container_id),
                "shm": shared.shm,
                "mounts": self._mounts(spec, record["sandbox"]),
                "data_directory": self._node.data_directory,
                "userns": self._node.userns,
            },
        }
        try:
            pid, pidfd, sync = self.fork(task, self._pid_namespace(record))
        except BaseException:
            if pipes:
                pipes.close()
            log.close()
            raise
        io = None
        if pipes:
            outputs, stdin = pipes.keep_outer()
            io = streams.Streams(self._loop, log, outputs, stdin)
        live = self.running[container_id] = Container(pidfd, io)
        self._node.children[pid] = lambda status: self._ended(container_id, status)
        self._node.state.put("container", container_id, {"pid": pid, "identity": identity.of(pid)})

        def started(master: int) -> None:
            if master >= 0:
                live.streams = streams.Streams(self._loop, log, {"stdout": master}, os.dup(master))
                if container_id not in self.running:  # so short that its exit was seen first
                    live.streams.finish()
            live.is_starting = False
            if record["state"] == "created":  # else it has ended already; its exit came first
                self._node.state.put("container", container_id, {"state": "running", "started_at": time.time()})
                self._publish("container-started", record)
            call.reply()

        def failed(problem: dict[str, Any]) -> None:
            changes = {"reason": "StartError", "message": problem["message"], "exit_code": START_ERROR_CODE}
            self._node.state.put("container", container_id, changes)

            def tell() -> None:
                call.fail(problem["kind"], problem["message"], errno=problem["errno"])

            if container_id in self.running:
                live.waiting_for_exit.append(tell)  # then its status says so too
            else:
                tell()

        Launch(self._loop, sync, started, failed)

    def _mounts(self, spec: dict[str, Any], sandbox_id: str) -> list[dict[str, Any]]:
        mine = {mount["target"] for mount in spec["mounts"]}
        files = self._node.live_sandbox(sandbox_id).files
        own = [
            {"source": source, "target": target, "read_only": False, "propagation": "None"}
            for target, source in files.items()
            if target not in mine
        ]
        return own + spec["mounts"]

    def fork(self, task: dict[str, Any], where: int | None) -> tuple[int, int, socket.socket]:
        """(pid, pidfd, sync socket) of a child that runs `task`; see launching.run_child."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        pid = self._node.pids.fork(where)
        if pid == 0:
            launching.run_child(task, theirs)
        theirs.close()
        return pid, os.pidfd_open(pid), ours

    # -- the end ---------------------------------------------------------------------------------------------------------

    def _ended(self, container_id: str, status: int) -> None:
        record = self.record(container_id)
        live = self.running.pop(container_id)
        if record["spec"]["pid_mode"] != "container":
            self._kill_rest(record)
        if live.streams:
            live.streams.finish()
        code, number = exit_code(status)
        changes: dict[str, Any] = {"state": "exited", "finished_at": time.time(), "pid": 0, "signal": number}
        if record.get("reason") != "StartError":
            oom = code != 0 and self._node.cgroups.oom_kills(self.group(record)) > 0
            changes |= {"exit_code": code, "reason": "OOMKilled" if oom else "Error" if code else "Completed"}
            if not record.get("started_at"):  # so short that its exit was seen before its start
                changes["started_at"] = changes["finished_at"]
        self._node.state.put("container", container_id, changes, durable=True)
        os.close(live.pidfd)
        if live.kill_timer:
            live.kill_timer.cancel()
        for callback in live.waiting_for_exit:
            callback()
        self._publish("container-exited", record)

    def _kill_rest(self, record: dict[str, Any]) -> None:
        """Without a PID namespace of its own a container's other processes outlive its first: end them too."""
        for pid in self._node.cgroups.processes(self.group(record)):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue

    def _publish(self, kind: str, record: dict[str, Any]) -> None:
        sandbox = self._node.state.tables["sandbox"].get(record["sandbox"], {})
        event = {"type": kind, "sandbox_id": record["sandbox"], "container_id": record["id"]}
        self._node.publish({**event, "pod_uid": sandbox.get("uid", "")})

    def stop(self, container_id: str, grace: float, done: Callable[[], None]) -> None:
        """The stop signal now, SIGKILL after `grace` seconds; `done()` when it has ended. A shorter grace overtakes a longer one."""
        record = self.record(container_id)
        live = self.running.get(container_id)
        if live is None:
            if record["state"] == "created":
                changes = {"state": "exited", "finished_at": time.time(), "exit_code": 137, "reason": "Error"}
                self._node.state.put("container", container_id, changes, durable=True)
            done()
            return
        live.waiting_for_exit.append(done)
        if live.kill_timer:
            live.kill_timer.cancel()
        if grace > 0:
            send_signal(live.pidfd, record["spec"]["stop_signal"])
        live.kill_timer = self._loop.call_later(grace, lambda: send_signal(live.pidfd, signal.SIGKILL))

    def remove(self, container_id: str, done: Callable[[], None]) -> None:
        if container_id not in self._records:
            done()
            return

        def gone() -> None:
            record = self._records.get(container_id)
            if record is None:
                done()
                return
            self._node.remove_group(self.group(record))
            self._node.discard(self.base(container_id))
            self._node.state.delete("container", container_id)
            self._publish("container-removed", record)
            done()

        self.stop(container_id, 0, gone)

    # -- exec and attach -------------------------------------------------------------------------------------------------

    def exec(self, call: Call) -> None:
        """Run a command in a container. Answers when it runs, with its streams; `wait_exec` answers when it has ended."""
        request = call.request
        record = self.record(request["container"])
        live = self.live(request["container"])
        spec = record["spec"]
        pipes = Pipes(request["stdin"]) if not request["tty"] else None
        task = {
            "argv": request["argv"],
            "env": {**spec["env"], **({"TERM": "xterm"} if request["tty"] else {})},
            "cwd": spec["cwd"],
            "security": spec["security"],
            "tty": request["tty"],
            "width": request.get("width", 0),
            "height": request.get("height", 0),
            "stdio": pipes.inner if pipes else [],
            "entrances": self._node.cgroups.entrances(self.group(record)),
            "join": live.pidfd,
        }
        pid, pidfd, sync = self.fork(task, -1 if spec["pid_mode"] == "node" else live.pidfd)
        outputs, stdin = pipes.keep_outer() if pipes else ({}, -1)
        session = Exec(pid, pidfd)
        exec_id = f"{pid}-{session.serial}"
        self._node.execs[exec_id] = session
        self._node.children[pid] = session.ended

        def started(master: int) -> None:
            if master >= 0:
                kinds, fds = ["tty"], [master]
            else:
                kinds, fds = list(outputs), list(outputs.values())
                if stdin >= 0:
                    kinds, fds = [*kinds, "stdin"], [*fds, stdin]
            session.belongs_to(call.connection)
            call.reply({"exec": exec_id, "kinds": kinds}, fds)

        def failed(problem: dict[str, Any]) -> None:
            for fd in [*outputs.values(), stdin]:
                if fd >= 0:
                    os.close(fd)
            del self._node.execs[exec_id]
            call.fail(problem["kind"], problem["message"], errno=problem["errno"])

        Launch(self._loop, sync, started, failed)

    def attach(self, call: Call) -> None:
        request = call.request
        record = self.record(request["container"])
        live = self.live(request["container"])
        if live.streams is None:
            raise Refused("conflict", "the container is still starting")
        names = [name for name in ("stdout", "stderr") if request[name]]
        once = record["spec"]["stdin_once"] and not record["spec"]["tty"]
        kinds, fds = live.streams.attach(names, stdin=request["stdin"], stdin_once=once)
        call.reply({"kinds": kinds, "tty": record["spec"]["tty"]}, fds)

    def resize(self, container_id: str, width: int, height: int) -> None:
        live = self.live(container_id)
        if live.streams and live.streams.stdin >= 0:
            launching.set_size(live.streams.stdin, width, height)


class Exec:
    """A command run in a container."""

    _count = 0

    def __init__(self, pid: int, pidfd: int) -> None:
        Exec._count += 1
        self.serial = Exec._count
        self.pid = pid
        self._pidfd = pidfd
        self._status: int | None = None
        self._owner: Connection | None = None
        self._waiting: list[Callable[[int], None]] = []

    def belongs_to(self, connection: Connection) -> None:
        """Its streams end with that client, so it is killed when the client leaves."""
        if self._status is None:
            self._owner = connection
            connection.on_close.append(self.kill)

    def ended(self, status: int) -> None:
        self._status = status
        if self._owner is not None:
            self._owner.on_close.remove(self.kill)
        os.close(self._pidfd)
        for callback in self._waiting:
            callback(exit_code(status)[0])

    def when_ended(self, callback: Callable[[int], None]) -> None:
        if self._status is None:
            self._waiting.append(callback)
        else:
            callback(exit_code(self._status)[0])

    def kill(self) -> None:
        """The whole session: the command may have started others."""
        if self._status is None:
            try:
                os.killpg(self.pid, signal.SIGKILL)
            except ProcessLookupError:
                send_signal(self._pidfd, signal.SIGKILL)


class Pipes:
    """The three pipes of a process without a terminal: `inner` its ends, the others ours."""

    def __init__(self, stdin: bool) -> None:
        flags = os.O_CLOEXEC
        self._stdin = os.pipe2(flags) if stdin else (os.open("/dev/null", os.O_RDONLY | flags), -1)
        self._out = os.pipe2(flags)
        self._err = os.pipe2(flags)
        self.inner = [self._stdin[0], self._out[1], self._err[1]]

    def keep_outer(self) -> tuple[dict[str, int], int]:
        for fd in self.inner:
            os.close(fd)
        return {"stdout": self._out[0], "stderr": self._err[0]}, self._stdin[1]

    def close(self) -> None:
        outputs, stdin = self.keep_outer()
        for fd in [*outputs.values(), stdin]:
            if fd >= 0:
                os.close(fd)


def send_signal(pidfd: int, number: int) -> None:
    try:
        signal.pidfd_send_signal(pidfd, number)
    except ProcessLookupError:
        return  # it has ended; its exit is on the way
