"""Becomes another program that gets a signal when its parent dies, also when the parent was killed with -9.

`python tied.py SIGNAL PARENT USER PROGRAM ARGUMENT ...`, numbers all; USER is `uid:gid` or `-`.
Run without site packages it costs 15 ms. The wish is made after the change of user, which would
undo it, and the parent is looked at after the wish, since it may have died before.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(death_signal: int, parent: int, user: str, command: list[str]) -> None:
    """Replace this process; ends it when the parent is gone already."""
    if user != "-":
        uid, gid = (int(number) for number in user.split(":"))
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, death_signal)
    if os.getppid() != parent:
        sys.exit("the parent is gone")
    # Python ignores these for itself; the program shall not inherit that.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    os.execv(command[0], command)  # noqa: S606  # there is no shell here, as wanted


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4:])
