# SPDX-License-Identifier: Apache-2.0
"""What the integration tests stand on: the daemon under test, brokers, Modbus devices, a scripted slave."""
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
PEERS = os.path.join(TOP, "tests", "peers")
sys.path.insert(0, PEERS)

from broker import Broker  # noqa: E402
from certificates import Authority  # noqa: E402
from mqtt import Account, Subscriber  # noqa: E402
from network import Network  # noqa: E402
from processes import Lines, NotifySocket, answers, free_port, spawn, stop, wait_until  # noqa: E402
from relay import Relay  # noqa: E402
from slave import ScriptedSlave  # noqa: E402

BUILD = os.path.abspath(os.path.join(TOP, os.environ.get("HAYWAIN_BUILD", "build/plain")))
DAEMON = os.path.join(BUILD, "haywaind")
ASAN = os.path.basename(BUILD) == "asan"


class Haywain:
    """The daemon on a configuration written by the test."""

    def __init__(self, directory, environment=None):
        self.dir = directory
        self.file = os.path.join(directory, "haywain.conf")
        self.queue = os.path.join(directory, "queue.db")
        self.environment = environment or {}
        self.process = None
        self.notify = None
        self.log = None
        self.logs = []

    def configure(self, text):
        with open(self.file, "w", encoding="utf-8") as f:
            f.write(text)
        return self

    def environ(self):
        env = {k: v for k, v in os.environ.items() if k not in ("JOURNAL_STREAM", "STATE_DIRECTORY")}
        env.update({"HAYWAIN_PLUGIN_DIR": os.path.join(BUILD, "plugins"), "NOTIFY_SOCKET": os.path.join(self.dir, "notify"),
                    # The machine's own service, where there is one, is not this one.
                    "RUNTIME_DIRECTORY": self.dir, "ASAN_OPTIONS": "detect_leaks=0:exitcode=99", "UBSAN_OPTIONS": "print_stacktrace=1"})
        env.update(self.environment)
        return env

    def start(self, ready=True, argv=()):
        self.notify = NotifySocket(os.path.join(self.dir, "notify"))
        self.process = spawn([*argv, DAEMON, "-c", self.file], env=self.environ(), cwd=self.dir,
                             stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.log = Lines(self.process.stderr)
        self.logs.append(self.log)
        if ready:
            wait_until(lambda: self.notify.count("READY=1") or self.process.poll() is not None, 30, "READY=1")
            assert self.process.poll() is None, f"the daemon ended with {self.process.returncode}:\n{self.text()}"
        return self

    def text(self):
        return "\n".join(log.text() for log in self.logs)

    def said(self, *words, start=0):
        """The first line of the log that has all the words, or None."""
        for _, line in self.log.lines[start:]:
            if all(word.lower() in line.lower() for word in words):
                return line
        return None

    def wait_line(self, *words, timeout=30, start=0):
        return wait_until(lambda: self.said(*words, start=start), timeout,
                          lambda: f"a line with {words} in the log:\n{self.log.text()}")

    def reload(self, text=None):
        if text is not None:
            self.configure(text)
        reloads = self.notify.count("RELOADING=1")
        readies = self.notify.count("READY=1")
        self.process.send_signal(signal.SIGHUP)
        wait_until(lambda: self.notify.count("RELOADING=1") > reloads and self.notify.count("READY=1") > readies, 20,
                   "the reload to be done")

    def stop(self, within=5):
        """SIGTERM; it has to be gone in time and in good order."""
        before = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(f"the daemon does not end:\n{self.text()}") from None
        seconds = time.monotonic() - before
        self.log.join()
        assert status == 0, f"exit status {status}:\n{self.text()}"
        assert seconds <= within * (2 if ASAN else 1), f"took {seconds:.1f} s to end:\n{self.text()}"

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.log.join()

    def wait_end(self, timeout=30):
        status = self.process.wait(timeout)
        self.log.join()
        return status

    def check(self, *arguments):
        """haywaind --check: (exit status, all it prints)."""
        done = subprocess.run([DAEMON, "-c", self.file, "--check", *arguments], env=self.environ(), cwd=self.dir,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              errors="replace", timeout=60, check=False)
        return done.returncode, done.stdout

    def call(self, *arguments, text=None):
        """haywaind with other arguments, and text on its standard input: (exit status, standard output, standard error)."""
        done = subprocess.run([DAEMON, "-c", self.file, *arguments], env=self.environ(), cwd=self.dir, input=text or "",
                              capture_output=True, text=True, timeout=120, check=False)
        return done.returncode, done.stdout, done.stderr

    def close(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if self.log:
            self.log.join()
        text = self.text()
        for report in ("AddressSanitizer", "runtime error:", "LeakSanitizer", "ThreadSanitizer"):
            assert report not in text, text


class ModbusDevice:
    """pymodbus in a process of its own."""

    def __init__(self, units=(1,), port=None):
        self.units = units
        self.port = port or free_port()
        self.process = None
        self._lock = threading.Lock()

    def start(self):
        self.process = spawn(["/usr/bin/python3", os.path.join(PEERS, "modbus_device.py"), self.port, *self.units],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        wait_until(lambda: answers(self.port) or self.process.poll() is not None, 30, "pymodbus to listen")
        assert self.process.poll() is None
        return self

    def order(self, **what):
        with self._lock:
            self.process.stdin.write(json.dumps(what) + "\n")
            self.process.stdin.flush()
            return json.loads(self.process.stdout.readline())

    def counts(self):
        return {int(unit): n for unit, n in self.order(ask=True)["counts"].items()}

    def stop(self):
        stop(self.process, signal.SIGKILL)


class Plant:
    """Makes parts and takes them all down at the end of the test."""

    def __init__(self, directory):
        self.dir = directory
        self._ends = []
        self._authority = None
        self._n = 0

    def _path(self, name):
        self._n += 1
        path = os.path.join(self.dir, f"{name}{self._n}")
        os.makedirs(path)
        return path

    def authority(self, name="Throw-away CA"):
        return Authority(self._path("ca"), name)

    @property
    def ca(self):
        if not self._authority:
            self._authority = self.authority()
        return self._authority

    def broker(self, tls=False, start=True, **options):
        broker = Broker(self._path("broker"), self.ca if tls else None, **options)
        self._ends.append(broker.close)
        return broker.start() if start else broker

    def device(self, units=(1,)):
        device = ModbusDevice(units).start()
        self._ends.append(device.stop)
        return device

    def slave(self, answer=None, host="127.0.0.1"):
        slave = ScriptedSlave(answer, host)
        self._ends.append(slave.close)
        return slave

    def relay(self, *arguments, **options):
        relay = Relay(*arguments, **options)
        self._ends.append(relay.close)
        return relay

    def network(self):
        if os.geteuid() != 0:
            pytest.fail("this test makes a network of its own: run it as root")
        network = Network(self._path("network"))
        self._ends.append(network.close)
        return network

    def haywain(self, text=None, start=True, **environment):
        daemon = Haywain(self._path("haywain"), environment)
        self._ends.append(daemon.close)
        if text is not None:
            daemon.configure(text)
            if start:
                daemon.start()
        return daemon

    def kernel_clock(self, error_us=16000000, battery_s=None):
        """An environment for haywain() in which the kernel says so of its clock, and a clock with a battery shows so many seconds since
        1970 (None: there is none); (environment, set(error_us))."""
        folder = self._path("clock")
        subprocess.run(["cc", "-D_GNU_SOURCE", "-shared", "-fPIC", "-o", folder + "/adjtimex.so", os.path.join(PEERS, "adjtimex.c"), "-ldl"],
                       check=True)

        def set_error(error_us):
            with open(folder + "/new", "w", encoding="ascii") as f:
                f.write(str(error_us))
            os.rename(folder + "/new", folder + "/error")
        set_error(error_us)
        preload = folder + "/adjtimex.so"
        if ASAN:  # the sanitizer's own library has to come first
            asan = subprocess.run(["cc", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True).stdout.strip()
            preload = f"{asan}:{preload}"
        environment = {"LD_PRELOAD": preload, "ADJTIMEX": folder + "/error", "DBUS_SYSTEM_BUS_ADDRESS": "unix:path=/nonexistent"}
        if battery_s is not None:
            environment["RTC"] = folder + "/since_epoch"
            with open(environment["RTC"], "w", encoding="ascii") as f:
                f.write(f"{int(battery_s)}\n")
        return environment, set_error

    def subscriber(self, broker, filters=("#",), **options):
        subscriber = Subscriber(broker.port, filters, **options).start()
        self._ends.append(subscriber.close)
        return subscriber

    def account(self, broker, gateway="plant", prefix="haywain", client_id="counter", **options):
        """An Account of all data of a gateway."""
        account = Account()
        account.subscriber = self.subscriber(broker, (f"{prefix}/{gateway}/data/#",), client_id=client_id,
                                             on_message=account.take, **options)
        return account

    def defer(self, function):
        self._ends.append(function)

    def close(self):
        faults = []
        for end in reversed(self._ends):
            try:
                end()
            except BaseException as fault:  # every part must go, whatever the others do
                faults.append(fault)
        if faults:
            raise faults[0]


@pytest.fixture
def plant():
    directory = tempfile.mkdtemp(prefix="haywain-test-")
    plant = Plant(directory)
    yield plant
    try:
        plant.close()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


# ---- pieces of configuration ----

def uplink(port, name="cloud", host="127.0.0.1", scheme="mqtt", more=""):
    return f'  {{ name = "{name}"; url = "{scheme}://{host}:{port}"; {more} }}'


def link(port, name="bus", timeout="500ms", more="", host="127.0.0.1"):
    return f'  {{ name = "{name}"; plugin = "modbus"; url = "tcp://{host}:{port}"; timeout = "{timeout}"; {more} }}'


COUNTER = '{ name = "polls"; holding = 0; type = "uint32"; }'


def device(name="d1", on="bus", unit=1, every="100ms", points=COUNTER, more=""):
    return f'  {{ name = "{name}"; link = "{on}"; unit = {unit}; every = "{every}"; {more}\n    points: ( {points} ); }}'


def configuration(uplinks=(), links=(), devices=(), queue="", gateway="", rest=""):
    """A whole file. Each piece is a text made by the functions above."""
    def several(name, pieces):
        return f"{name}: (\n" + ",\n".join(pieces) + "\n);\n" if pieces else ""

    return (f'gateway: {{ id = "plant"; clock = "trust"; {gateway} }};\n'
            f'queue: {{ path = "queue.db"; {queue} }};\n'
            + several("uplinks", uplinks) + several("links", links) + several("devices", devices) + rest)


def complete(account, device, up_to):
    """Whether all counts from 1 to up_to have come."""
    return set(range(1, up_to + 1)) <= set(account.counts(device))


def wait_complete(account, device, up_to, timeout=60):
    wait_until(lambda: complete(account, device, up_to), timeout,
               lambda: f"{device}: all of 1..{up_to}; missing {sorted(set(range(1, up_to + 1)) - set(account.counts(device)))[:20]}",
               step=0.05)
