"""A process that has imported the command, and forks for each call: a call then costs no second of imports.

The fork is a process of its own, as a shell's would be: own arguments, variables and files, and the interpreter's own
end. Whatever is decided while the interpreter starts (encodings, time zone) is the server's.
"""

import json
import os
import socket
import subprocess
import sys
from tempfile import TemporaryFile
from typing import IO

TIMEOUT = 60.0


class Warm:
    """The server, seen from the tests."""

    def __init__(self, folder: str, variables: dict[str, str]) -> None:
        self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [sys.executable, "-m", "tests.cli.warm", str(theirs.fileno())]
        self._process = subprocess.Popen(
            command, cwd=folder, env=variables, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL
        )
        theirs.close()
        self._ours.settimeout(TIMEOUT)

    def run(
        self, arguments: tuple[str, ...], variables: dict[str, str], read: str
    ) -> "subprocess.CompletedProcess[str]":
        """Raises TimeoutExpired after a minute; the call is killed then."""
        with TemporaryFile() as given, TemporaryFile() as out, TemporaryFile() as err:
            given.write(read.encode())
            given.seek(0)
            request = json.dumps([arguments, variables]).encode()
            socket.send_fds(self._ours, [request], [file.fileno() for file in (given, out, err)])
            code = self._ended(arguments)
            return subprocess.CompletedProcess(arguments, code, _text(out), _text(err))

    def _ended(self, arguments: tuple[str, ...]) -> int:
        called = int(self._ours.recv(64))
        try:
            return int(self._ours.recv(64))
        except TimeoutError:
            os.kill(called, 9)
            self._ours.recv(64)
            raise subprocess.TimeoutExpired(list(arguments), TIMEOUT) from None

    def close(self) -> None:
        self._ours.close()
        self._process.wait(10)


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode()


def serve(end: socket.socket) -> None:
    """Answer calls until the tests close their end; returns in the server only."""
    from cds.cli.main import main

    while True:
        request, files, _, _ = socket.recv_fds(end, 1 << 17, 3)
        if not request:
            return
        called = os.fork()
        if not called:
            end.close()
            _become(files, *json.loads(request))
            main()
            sys.exit()
        for file in files:
            os.close(file)
        end.send(str(called).encode())
        end.send(str(os.waitstatus_to_exitcode(os.waitpid(called, 0)[1])).encode())


def _become(files: list[int], arguments: list[str], variables: dict[str, str]) -> None:
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.environ.clear()
    os.environ.update(variables)
    sys.argv[1:] = arguments


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
