# SPDX-License-Identifier: Apache-2.0
"""Child processes that never outlive their parent, free ports, and waiting for a condition."""
import ctypes
import os
import signal
import socket
import subprocess
import threading
import time

_libc = ctypes.CDLL(None)
PR_SET_PDEATHSIG = 1


def _in_child():
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def spawn(argv, **kwargs):
    """Start a process that is killed when this one dies. It has its own process group: Ctrl-C is ours."""
    return subprocess.Popen([str(a) for a in argv], preexec_fn=_in_child, process_group=0, **kwargs)


def stop(process, number=signal.SIGTERM, timeout=10):
    """Signal a process, wait for it, kill it when it does not go. Returns its exit status."""
    if process is None or process.poll() is not None:
        return None if process is None else process.returncode
    try:
        process.send_signal(number)
        return process.wait(timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def answers(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


def wait_until(condition, timeout=30, what="the condition", step=0.01):
    """Wait until condition() is true, and give what it returned. Deadlines are generous: a loaded machine is slow."""
    deadline = time.monotonic() + timeout
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {timeout} s for {what() if callable(what) else what}")
        time.sleep(step)


class Lines:
    """Collects the lines of a pipe in the background; with the time each came."""

    def __init__(self, pipe, also=None):
        self.lines = []
        self._thread = threading.Thread(target=self._read, args=(pipe, also), daemon=True)
        self._thread.start()

    def _read(self, pipe, also):
        for raw in pipe:
            line = raw.decode(errors="replace").rstrip("\n")
            self.lines.append((time.monotonic(), line))
            if also:
                also.write(line + "\n")
                also.flush()

    def join(self):
        self._thread.join(5)

    def text(self, start=0):
        return "\n".join(line for _, line in self.lines[start:])


class NotifySocket:
    """Stands in for systemd: a datagram socket that hears READY, STATUS, RELOADING, WATCHDOG."""

    def __init__(self, path):
        self.path = path
        self.messages = []
        if os.path.exists(path):
            os.unlink(path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(path)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        while True:
            try:
                data = self._socket.recv(65536)
            except OSError:
                return
            if not data:
                return
            for line in data.decode(errors="replace").splitlines():
                self.messages.append((time.monotonic(), line))

    def count(self, what):
        return sum(line == what for _, line in list(self.messages))

    def last_status(self):
        for _, line in reversed(list(self.messages)):
            if line.startswith("STATUS="):
                return line[7:]
        return ""

    def close(self):
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._socket.close()
