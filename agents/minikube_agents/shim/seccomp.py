"""The seccomp profile RuntimeDefault: calls that reach into the kernel or out of the container fail with EPERM, as Docker's and containerd's do.

Those profiles list what is allowed; this one lists what they forbid to a container without capabilities. A classic BPF program over
`struct seccomp_data`: architecture first, then the number (seccomp(2)).
"""

from __future__ import annotations

import errno
import os
import struct

_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_LOAD, _EQUAL, _RETURN, _SET, _AT_LEAST = 0x20, 0x15, 0x06, 0x45, 0x35
_X32 = 0x40000000

#: CLONE_NEW*: a namespace of its own is what clone and unshare may not make
_NAMESPACES = 0x7E020000

_X86_64 = {
    "acct": 163, "add_key": 248, "bpf": 321, "clock_adjtime": 305, "clock_settime": 227, "create_module": 174,
    "delete_module": 176, "finit_module": 313, "fsconfig": 431, "fsmount": 432, "fsopen": 430, "fspick": 433,
    "get_mempolicy": 239, "init_module": 175, "ioperm": 173, "iopl": 172, "kcmp": 312, "kexec_file_load": 320,
    "kexec_load": 246, "keyctl": 250, "lookup_dcookie": 212, "mbind": 237, "mount": 165, "mount_setattr": 442,
    "move_mount": 429, "move_pages": 279, "name_to_handle_at": 303, "open_by_handle_at": 304, "open_tree": 428,
    "perf_event_open": 298, "pivot_root": 155, "process_vm_readv": 310, "process_vm_writev": 311, "quotactl": 179,
    "reboot": 169, "request_key": 249, "set_mempolicy": 238, "setns": 308, "settimeofday": 164, "swapon": 167,
    "swapoff": 168, "umount2": 166, "userfaultfd": 323, "vhangup": 153, "adjtimex": 159,
}  # fmt: skip
_AARCH64 = {
    "acct": 89, "add_key": 217, "bpf": 280, "clock_adjtime": 266, "clock_settime": 112, "delete_module": 106,
    "finit_module": 273, "fsconfig": 431, "fsmount": 432, "fsopen": 430, "fspick": 433, "get_mempolicy": 236,
    "init_module": 105, "kcmp": 272, "kexec_file_load": 294, "kexec_load": 104, "keyctl": 219, "lookup_dcookie": 18,
    "mbind": 235, "mount": 40, "mount_setattr": 442, "move_mount": 429, "move_pages": 239, "name_to_handle_at": 264,
    "open_by_handle_at": 265, "open_tree": 428, "perf_event_open": 241, "pivot_root": 41, "process_vm_readv": 270,
    "process_vm_writev": 271, "quotactl": 60, "reboot": 142, "request_key": 218, "set_mempolicy": 237, "setns": 268,
    "settimeofday": 170, "swapon": 224, "swapoff": 225, "umount2": 39, "userfaultfd": 282, "vhangup": 58,
    "adjtimex": 171,
}  # fmt: skip
#: machine -> (AUDIT_ARCH, forbidden calls, clone, unshare, clone3)
_MACHINES = {
    "x86_64": (0xC000003E, _X86_64, 56, 272, 435),
    "aarch64": (0xC00000B7, _AARCH64, 220, 97, 435),
}


def is_supported() -> bool:
    return os.uname().machine in _MACHINES


def program() -> bytes:
    """The filter for this machine. KeyError where `is_supported` says no."""
    architecture, forbidden, clone, unshare, clone3 = _MACHINES[os.uname().machine]
    refuse = (_RETURN, 0, 0, _ERRNO | errno.EPERM)
    lines: list[tuple[int, int, int, int]] = [
        (_LOAD, 0, 0, 4),
        (_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, 0),
        (_AT_LEAST, 0, 1, _X32),
        refuse,
        # glibc falls back to clone, whose flags can be looked at, when clone3 is not there
        (_EQUAL, 0, 1, clone3),
        (_RETURN, 0, 0, _ERRNO | errno.ENOSYS),
    ]
    for number in sorted(forbidden.values()):
        lines += [(_EQUAL, 0, 1, number), refuse]
    for number in (clone, unshare):
        lines += [(_EQUAL, 0, 4, number), (_LOAD, 0, 0, 16), (_SET, 0, 1, _NAMESPACES), refuse, (_RETURN, 0, 0, _ALLOW)]
    lines.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("HBBI", *line) for line in lines)
