"""Runs a command that must not outlive its parent: `python tether.py GRACE_S COMMAND…`, with a pipe as stdin.

The parent holds the pipe's other end and never writes. However the parent ends, kill -9 included, the pipe closes, and
the command is stopped: SIGTERM and, GRACE_S seconds later, SIGKILL. A second pipe, whose writing end only the command
has, shows when the command ends by itself. This needs no thread and no signal handler, and works on every POSIX system.
Linux's PR_SET_PDEATHSIG is not enough, because it fires when the *thread* that started the child ends, and trio starts
processes from worker threads that it retires after ten idle seconds.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys


def main(argv: list[str]) -> int:
    """Run the command until it or the parent ends. Returns its exit status as a shell reports it."""
    grace_s, *command_line = argv
    alive, held_by_command = os.pipe()
    os.set_inheritable(held_by_command, True)
    with subprocess.Popen(command_line, stdin=subprocess.DEVNULL, pass_fds=(held_by_command,)) as command:
        os.close(held_by_command)
        select.select([sys.stdin.fileno(), alive], [], [])
        command.terminate()
        ended, _, _ = select.select([alive], [], [], float(grace_s))
        if not ended:
            command.kill()
        status = command.wait()
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
