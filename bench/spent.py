"""Runs one command on some CPUs and prints what it spent as JSON: a small process, since memory is counted from here.

A child's largest resident set begins with that of the process that starts it, so that a benchmark full of imports
cannot ask the kernel itself. Only the standard library is imported, and little of it.
"""

import json
import os
import resource
import sys
import time
from pathlib import Path

INTERVAL = 0.1  # seconds between two looks at the memory of the tree


def tree(root: int) -> list[int]:
    """The process and all its descendants."""
    found = [root]
    for pid in found:
        try:
            for children in Path(f"/proc/{pid}/task").glob("*/children"):
                found += map(int, children.read_text(encoding="ascii").split())
        except OSError:
            continue  # it has ended meanwhile
    return found


def kilobytes(pid: int) -> int:
    """Proportional set size: memory that two processes share counts half in each."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0  # it has ended meanwhile
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


def ended(pid: int, looking: bool) -> tuple[int, resource.struct_rusage, int]:
    """Exit status and usage with every descendant that was waited for; the largest PSS of the tree while looking."""
    most = 0
    while looking:
        done, status, usage = os.wait4(pid, os.WNOHANG)
        if done:
            return status, usage, most
        most = max(most, sum(map(kilobytes, tree(pid))))
        time.sleep(INTERVAL)
    _, status, usage = os.wait4(pid, 0)
    return status, usage, most


def main() -> None:
    """`spent.py CPUS look|- OUTPUT command…`: its output goes to a file, what it spent to standard output."""
    cpus, how, output, *command = sys.argv[1:]
    os.sched_setaffinity(0, set(map(int, cpus.split(","))))
    target = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    start = time.monotonic()
    moves = [(os.POSIX_SPAWN_DUP2, target, 1)]
    pid = os.posix_spawnp(command[0], command, os.environ, file_actions=moves)
    status, usage, most = ended(pid, how == "look")
    wall = time.monotonic() - start
    told = {
        "wall": wall,
        "cpu": usage.ru_utime + usage.ru_stime,
        "rss": usage.ru_maxrss * 1024,
        "pss": most * 1024,
        "code": os.waitstatus_to_exitcode(status),
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
