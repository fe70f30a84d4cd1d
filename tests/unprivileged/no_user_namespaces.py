"""A program: runs a command as an account in a place where user namespaces are forbidden, as on Ubuntu 24.04 without the profile for it.

    no_user_namespaces.py UID COMMAND...

The limit user.max_user_namespaces belongs to a user namespace, so one of our own gets the limit 0 and the machine's stays as it is.
"""

from __future__ import annotations

import ctypes
import os
import sys

CLONE_NEWUSER = 0x10000000


def main() -> None:
    uid, *command = sys.argv[1:]
    made, mapped = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWUSER) != 0:
            os._exit(125)
        os.write(made[1], b"x")
        os.read(mapped[0], 1)
        with open("/proc/sys/user/max_user_namespaces", "w") as file:
            file.write("0")
        os.execvp("setpriv", ["setpriv", "--reuid", uid, "--regid", uid, "--clear-groups", *command])
    os.close(made[1])
    os.read(made[0], 1)
    for kind in ("uid_map", "gid_map"):
        with open(f"/proc/{child}/{kind}", "w") as file:
            file.write("0 0 1000000")
    os.write(mapped[1], b"x")
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


if __name__ == "__main__":
    main()
