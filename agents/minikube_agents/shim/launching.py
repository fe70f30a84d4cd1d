"""Fork and exec into a container: everything that happens between the shim's fork and the program's first instruction.

The child reports to the shim over a socket that closes on exec: nothing said = it runs; else a JSON object with what went wrong. A pty is made in the
container's own devpts, and its master sent back the same way.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
import socket
import struct
import termios

from minikube_agents.shim import frames, libc, rootfs, seccomp, security

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

# TIOCSPTLCK and TIOCGPTN, which `termios` lacks; x86 and ARM numbers
_UNLOCK_PTY, _GET_PTY_NUMBER = 0x40045431, 0x80045430
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class StartError(Exception):
    """The program could not be executed; worded as runc does."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class PidNamespaces:
    """Where the next fork's child lives. Only children are affected, so the shim must put itself back after each fork; in a user namespace it may
    not (its own PID namespace belongs to the machine), and a child in between changes and forks in its stead."""

    def __init__(self) -> None:
        self._own = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
        try:
            libc.setns(self._own, libc.CLONE_NEWPID)
            self._may_return = True
        except PermissionError:
            self._may_return = False

    def fork(self, where: int | None) -> int:
        """`where`: None = a new PID namespace, -1 = the shim's own, else a descriptor (namespace or pidfd)."""
        if where == -1:
            return os.fork()
        if not self._may_return:
            return _fork_through_child(where)
        _choose(where)
        try:
            pid = os.fork()
        except BaseException:
            libc.setns(self._own, libc.CLONE_NEWPID)
            raise
        if pid:
            libc.setns(self._own, libc.CLONE_NEWPID)
        return pid


def _choose(where: int | None) -> None:
    if where is None:
        libc.unshare(libc.CLONE_NEWPID)
    else:
        libc.setns(where, libc.CLONE_NEWPID)


def _fork_through_child(where: int | None) -> int:
    """The grandchild becomes ours (we are a subreaper) when the child between ends. It waits for that: a death signal would tell it of the
    wrong parent's end."""
    answer, tell = os.pipe2(os.O_CLOEXEC)
    gate, latch = os.pipe2(os.O_CLOEXEC)
    between = os.fork()
    if between == 0:
        try:
            _choose(where)
            pid = os.fork()
        except OSError as error:
            os.write(tell, struct.pack("i", -(error.errno or errno.EPERM)))
            os._exit(1)
        if pid == 0:
            os.close(latch)
            os.read(gate, 1)
            return 0
        os.write(tell, struct.pack("i", pid))
        os._exit(0)
    os.close(tell)
    (pid,) = struct.unpack("i", os.read(answer, 4))
    os.waitpid(between, 0)
    for fd in (answer, gate, latch):
        os.close(fd)
    if pid < 0:
        raise OSError(-pid, os.strerror(-pid), "PID namespace")
    return pid


def set_size(fd: int, width: int, height: int) -> None:
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))


def reset_signals() -> None:
    """What Python changed: the wake-up descriptor, and SIGPIPE and SIGXFSZ, which it ignores; a program inherits what is ignored."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def run_child(task: dict[str, Any], sync: socket.socket) -> None:
    """In the child; never returns.

    `task`: argv, env, cwd, security (see security.drop_privileges), entrances (cgroup files), stdio (three descriptors, absent for a tty), tty,
    width, height; and either `join` (a pidfd: all namespaces of that process) or `namespaces` (descriptors) with `root` (see rootfs.build).
    """
    try:
        _become(task, sync)
    except StartError as error:
        _report(sync, "start", str(error), error.code)
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        _report(sync, "setup", f"{error.strerror or error}{where}", error.errno or 0)
    except BaseException as error:  # the child must tell, and must not return into the shim's loop
        _report(sync, "setup", f"{type(error).__name__}: {error}", 0)
    os._exit(127)


def _report(sync: socket.socket, kind: str, message: str, code: int) -> None:
    frames.send(sync, json.dumps({"kind": kind, "message": message, "errno": code}).encode(), [])


def _become(task: dict[str, Any], sync: socket.socket) -> None:
    reset_signals()
    libc.prctl(libc.PR_SET_PDEATHSIG, signal.SIGKILL)
    os.setsid()
    os.umask(0o022)
    for entrance in task["entrances"]:
        with open(entrance, "w") as file:
            file.write("0")
    if "join" in task:
        _join(task["join"])
    else:
        for fd in task["namespaces"]:
            libc.setns(fd)
        libc.unshare(libc.CLONE_NEWNS | libc.CLONE_NEWCGROUP)
        rootfs.enter(rootfs.build(task["root"]))
    rules = task["security"]
    stdio = _open_terminal(task, sync) if task["tty"] else list(task["stdio"])
    for number, fd in enumerate(stdio):
        _own(fd, rules["uid"], rules["gid"])
        os.dup2(fd, number, inheritable=True)
    _enter_directory(task["cwd"], create="join" not in task)
    if rules["seccomp"]:
        libc.set_seccomp(seccomp.program())  # now: without no_new_privs it takes the rights that are dropped next
    security.drop_privileges(rules)
    libc.prctl(libc.PR_SET_PDEATHSIG, signal.SIGKILL)  # a change of the uid cleared it
    execute(task["argv"], task["env"])


def _join(pidfd: int) -> None:
    spaces = libc.CLONE_NEWNS | libc.CLONE_NEWNET | libc.CLONE_NEWIPC | libc.CLONE_NEWUTS | libc.CLONE_NEWCGROUP
    libc.setns(pidfd, spaces)


def _own(fd: int, uid: int, gid: int) -> None:
    """So that a program of another user may open /dev/stdout again. /dev/null and files of others stay theirs."""
    import stat

    mode = os.fstat(fd).st_mode
    if stat.S_ISFIFO(mode) and uid:
        os.fchown(fd, uid, gid)


def _open_terminal(task: dict[str, Any], sync: socket.socket) -> list[int]:
    master = os.open("/dev/pts/ptmx", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    fcntl.ioctl(master, _UNLOCK_PTY, struct.pack("i", 0))
    (number,) = struct.unpack("i", fcntl.ioctl(master, _GET_PTY_NUMBER, b"\0" * 4))
    slave = os.open(f"/dev/pts/{number}", os.O_RDWR | os.O_CLOEXEC)
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    if task.get("width") and task.get("height"):
        set_size(master, task["width"], task["height"])
    if task["security"]["uid"]:
        os.fchown(slave, task["security"]["uid"], -1)
    frames.send(sync, b"{}", [master])
    return [slave, slave, slave]


def _enter_directory(path: str, *, create: bool) -> None:
    path = path or "/"
    try:
        if create and not os.path.isdir(path):
            os.makedirs(path)
        os.chdir(path)
    except OSError as error:
        raise StartError(f'chdir to cwd ("{path}") set in config.json failed: {_words(error)}', error.errno or 0) from error


def _words(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


def execute(argv: Sequence[str], env: dict[str, str]) -> None:
    """execvpe with the container's PATH and runc's messages."""
    name = argv[0]
    path = env.get("PATH", DEFAULT_PATH)
    candidates = [name] if "/" in name else [os.path.join(part or ".", name) for part in path.split(":")]
    denied = False
    for candidate in candidates:
        try:
            os.execve(candidate, list(argv), env)
        except FileNotFoundError as error:
            if "/" in name:
                raise StartError(f'exec: "{name}": stat {name}: no such file or directory', errno.ENOENT) from error
        except NotADirectoryError:
            continue
        except PermissionError as error:
            denied = True
            if "/" in name:
                raise StartError(f'exec: "{name}": permission denied', errno.EACCES) from error
        except OSError as error:
            raise StartError(f"exec {candidate}: {_words(error)}", error.errno or 0) from error
    if denied:
        raise StartError(f'exec: "{name}": permission denied', errno.EACCES)
    raise StartError(f'exec: "{name}": executable file not found in $PATH', errno.ENOENT)
