"""Becoming root in a user namespace of one's own: what a normal user needs for network namespaces and mounts.

With newuidmap and an entry in /etc/subuid the namespace has 65536 ids, so that containers may run as other users; else just id 0.
"""

from __future__ import annotations

import os

from minikube_agents.shim import libc

NEW_ID_TOOLS = ("newuidmap", "newgidmap")


def subordinate_ids(path: str, user: str, number: int) -> tuple[int, int] | None:
    """(first, count) of that user in /etc/subuid or /etc/subgid (subuid(5): by name or by number)."""
    try:
        with open(path) as file:
            for line in file:
                fields = line.strip().split(":")
                if len(fields) == 3 and fields[0] in (user, str(number)):
                    return int(fields[1]), int(fields[2])
    except FileNotFoundError:
        return None
    return None


def has_tools() -> bool:
    """Whether newuidmap and newgidmap (package uidmap) are installed. `shutil.which` would cost 10 ms of imports."""
    path = os.environ.get("PATH", os.defpath).split(":")
    return all(any(os.access(os.path.join(part, tool), os.X_OK) for part in path) for tool in NEW_ID_TOOLS)


def user_name(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def enter() -> bool:
    """Make and enter the namespace; True when it has many ids. OSError where it is forbidden."""
    uid, gid = os.geteuid(), os.getegid()
    name = user_name(uid)
    users, groups = subordinate_ids("/etc/subuid", name, uid), subordinate_ids("/etc/subgid", name, uid)
    if users and groups and has_tools():
        return _enter_with_helper((uid, *users), (gid, *groups))
    libc.unshare(libc.CLONE_NEWUSER)
    _write("/proc/self/setgroups", "deny")
    _write("/proc/self/uid_map", f"0 {uid} 1")
    _write("/proc/self/gid_map", f"0 {gid} 1")
    return False


def _enter_with_helper(users: tuple[int, int, int], groups: tuple[int, int, int]) -> bool:
    """The maps must be written from outside, by the setuid tools: a child that stays behind calls them."""
    mine = os.getpid()
    ready, go = os.pipe2(os.O_CLOEXEC)
    helper = os.fork()
    if helper == 0:
        code = 1
        try:
            os.close(go)
            os.read(ready, 1)
            maps = zip(NEW_ID_TOOLS, (users, groups), strict=True)
            code = max(_run_tool(tool, mine, *ids) for tool, ids in maps)
        finally:
            os._exit(code)
    libc.unshare(libc.CLONE_NEWUSER)
    os.write(go, b"1")
    os.close(go)
    os.close(ready)
    code = os.waitstatus_to_exitcode(os.waitpid(helper, 0)[1])
    if code:
        raise OSError(1, "newuidmap failed: /etc/subuid and /etc/subgid don't fit this user")
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    return True


def _run_tool(tool: str, pid: int, own: int, first: int, count: int) -> int:
    arguments = [tool, str(pid), "0", str(own), "1", "1", str(first), str(count)]
    child = os.posix_spawnp(tool, arguments, dict(os.environ))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)
