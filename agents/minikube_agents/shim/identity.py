"""Who a process is: (pid, start time, boot id). A pid alone is given again after the process is gone."""

from __future__ import annotations

import functools
import os


@functools.cache
def boot_id() -> str:
    with open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()


def start_time(pid: int) -> int:
    """Clock ticks since boot (field 22 of /proc/PID/stat); 0 when there is no such process or it is a zombie."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return 0 if fields[0] in (b"Z", b"X") else int(fields[19])


def of(pid: int) -> list[int | str]:
    return [pid, start_time(pid), boot_id()]


def is_alive(identity: list[int | str]) -> bool:
    pid, started, boot = identity
    return boot == boot_id() and started != 0 and start_time(int(pid)) == started


def kill(identity: list[int | str], number: int) -> bool:
    """Signal exactly that process; False when it is gone. A pidfd closes the gap between the look and the kill."""
    import signal

    try:
        fd = os.pidfd_open(int(identity[0]))
    except ProcessLookupError:
        return False
    try:
        if not is_alive(identity):
            return False
        signal.pidfd_send_signal(fd, number)
    except ProcessLookupError:
        return False
    finally:
        os.close(fd)
    return True
