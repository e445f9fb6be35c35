#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The bench: how fast, how small, and what an outage costs; each beside a floor made of the same libraries.

    run.py [--quick] [SCENARIO...]      steady saturation outage silent-broker killed silent-device gateway serial-line board curve memory air soak
"""
import argparse
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(TOP, "tests", "peers"))
from bluez import Bluez  # noqa: E402
from broker import Broker  # noqa: E402
from certificates import Authority  # noqa: E402
from mqtt import Subscriber  # noqa: E402
from processes import NotifySocket, answers, spawn, stop, wait_until  # noqa: E402

BUILD = os.path.abspath(os.path.join(TOP, os.environ.get("HAYWAIN_BUILD", "build/plain")))
TICK = os.sysconf("SC_CLK_TCK")
POINTS = 20
DEVICES = 50
KEPT = []  # verdicts, told again at the end


def program(name):
    return os.path.join(BUILD, "tests", "bench", name)


# ---- measuring a process ----

def cpu_seconds(pid):
    """Of all its threads, in ns where the kernel tells them."""
    total = 0
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as f:
                total += int(f.read().split()[0])
        return total / 1e9
    except OSError:
        with open(f"/proc/{pid}/stat", encoding="ascii") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICK


def held_kb(pid):
    """What the process holds for itself, now: its share of all its pages (Pss), and the pages that only it has and that have no
    file to come back from (Private_Dirty)."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
        fields = {line.split(":")[0]: int(line.split()[1]) for line in f if line.startswith(("Pss:", "Private_Dirty:"))}
    return fields["Pss"], fields["Private_Dirty"]


class Memory:
    """The most a process has held at once, from its start on: looked at five times a second."""
    watched = {}

    def __init__(self, pid):
        self.pid, self.pss, self.dirty = pid, 0, 0
        Memory.watched[pid] = self
        threading.Thread(target=self._watch, daemon=True).start()

    def _look(self):
        pss, dirty = held_kb(self.pid)
        self.pss, self.dirty = max(self.pss, pss), max(self.dirty, dirty)

    def _watch(self):
        try:
            while True:
                self._look()
                time.sleep(0.2)
        except (OSError, KeyError):
            pass  # it has ended

    @classmethod
    def peak(cls, pid):
        """(Pss, Private_Dirty) in kB."""
        memory = cls.watched.get(pid) or cls(pid)
        memory._look()
        return memory.pss, memory.dirty


def mb(kb):
    return f"{kb / 1024:.1f}"


def written_bytes(pid):
    with open(f"/proc/{pid}/io", encoding="ascii") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("write_bytes"))


# ---- the parts ----

class Talker:
    """A program of the bench that answers lines with lines."""

    def __init__(self, name, *arguments):
        self.process = spawn([program(name), *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             stderr=subprocess.DEVNULL, text=True)
        line = self.process.stdout.readline().strip()
        if line != "ready":
            raise RuntimeError(f"{name}: {line or 'does not start'}")

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def table(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        rows = []
        while (row := self.process.stdout.readline().strip()) != ".":
            rows.append([int(n) for n in row.split()])
        return rows

    def close(self):
        stop(self.process, signal.SIGKILL)


class Counter(Talker):
    def __init__(self, broker):
        super().__init__("counter", broker.port)

    def report(self):
        words = self.ask("report").split()
        return {k: float(v) for k, v in zip(words[::2], words[1::2])}

    def mark(self):
        self.ask("mark")


class Rig:
    """One measurement's parts, taken down together."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="haywain-bench-", dir="/var/tmp")
        self.ends = []
        self.n = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for end in reversed(self.ends):
            end()
        shutil.rmtree(self.dir, ignore_errors=True)

    def keep(self, part):
        self.ends.append(part.close)
        return part

    def path(self, name):
        self.n += 1
        return os.path.join(self.dir, f"{name}{self.n}")

    def broker(self, tls=False, extra=""):
        authority = Authority(self.path("ca")) if tls else None
        broker = self.keep(Broker(self.path("broker"), authority, extra="max_packet_size 1000000\n" + extra))
        # what the bench measures is not the broker's log
        broker._configuration_was = broker._configuration
        broker._configuration = lambda: broker._configuration_was().replace("log_type all", "log_type error")
        return broker.start()

    def devices(self, devices=DEVICES, units=1):
        for first in range(20000 + os.getpid() % 8000, 60000, 997):
            if not any(answers(p) for p in range(first, first + devices)):
                try:
                    sim = self.keep(Talker("sim", first, devices, units))
                except RuntimeError:
                    continue
                sim.first = first
                return sim
        raise RuntimeError("no range of free ports")

    def counter(self, broker):
        return self.keep(Counter(broker))

    def floor(self, broker, sim, period_us, devices=DEVICES):
        process = spawn([program("floor"), broker.port, sim.first, devices, period_us], stdin=subprocess.DEVNULL)
        Memory(process.pid)
        self.ends.append(lambda: stop(process, signal.SIGKILL))
        return process

    def haywain(self, broker, sim, every, devices=DEVICES, units=1, tls=False, points=POINTS, uplink="", queue="", timeout="1s"):
        return self.keep(Haywain(self.path("haywain"), broker, sim, every, devices, units, tls, points, uplink, queue, timeout))


class Haywain:
    def __init__(self, directory, broker, sim, every, devices, units, tls, points, uplink, queue, timeout):
        os.makedirs(directory)
        self.dir = directory
        self.process = None
        address = f"mqtts://localhost:{broker.tls_port}" if tls else f"mqtt://127.0.0.1:{broker.port}"
        ca = f'tls: {{ ca_file = "{broker.authority.file}"; }};' if tls else ""
        links = ",\n".join(f'  {{ name = "l{i}"; plugin = "modbus"; url = "tcp://127.0.0.1:{sim.first + i}"; timeout = "{timeout}"; }}'
                           for i in range(devices))
        values = "".join(f', {{ name = "p{a}"; holding = {a}; }}' for a in range(6, 6 + max(points - 2, 0)))
        table = f'( {{ name = "polls"; holding = 0; type = "uint32"; }}, {{ name = "answered"; holding = 2; type = "uint64"; }}{values} )'
        names = [(i, u, f"d{i}" if units == 1 else f"d{i}-{u}") for i in range(devices) for u in range(1, units + 1)]
        listed = ",\n".join(f'  {{ name = "{name}"; link = "l{i}"; unit = {u}; every = "{every}"; points: {table}; }}' for i, u, name in names)
        with open(directory + "/haywain.conf", "w", encoding="ascii") as f:
            f.write(f'gateway: {{ id = "bench"; clock = "trust"; log_level = "warning"; }};\nqueue: {{ path = "{directory}/queue.db"; {queue} }};\n'
                    f'uplinks: ( {{ name = "cloud"; url = "{address}"; {ca} {uplink} }} );\n'
                    f"links: (\n{links}\n);\ndevices: (\n{listed}\n);\n")
        self.start()

    def start(self):
        self.notify = NotifySocket(os.path.join(self.dir, "notify"))
        env = {**os.environ, "HAYWAIN_PLUGIN_DIR": os.path.join(BUILD, "plugins"), "NOTIFY_SOCKET": self.notify.path}
        with open(self.dir + "/log", "a", encoding="utf-8") as log:
            self.process = spawn([os.path.join(BUILD, "haywaind"), "-c", self.dir + "/haywain.conf"], env=env,
                                 stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log)
        Memory(self.process.pid)
        wait_until(lambda: self.notify.count("READY=1") or self.process.poll() is not None, 30, "haywaind to be ready")
        if self.process.poll() is not None:
            with open(self.dir + "/log", encoding="utf-8") as log:
                raise RuntimeError("haywaind does not start: " + log.read()[-2000:])

    def reload(self):
        before = self.notify.count("READY=1")
        self.process.send_signal(signal.SIGHUP)
        wait_until(lambda: self.notify.count("READY=1") > before, 20, "the reload")

    def close(self):
        stop(self.process)
        self.notify.close()


# ---- printing ----

def headline(text):
    print(f"\n== {text}", flush=True)


def table(head, rows):
    rows = [[str(c) for c in row] for row in rows]
    widths = [max(len(r[i]) for r in [head, *rows]) for i in range(len(head))]
    for row in [head, ["-" * w for w in widths], *rows]:
        print("  " + "  ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths))))
    sys.stdout.flush()


def verdict(what, good, measured):
    line = f"  {'met   ' if good else 'MISSED'}  {what}: {measured}"
    print(line, flush=True)
    KEPT.append((good, line))


def machine():
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        model = next((l.split(":")[1].strip() for l in f if l.startswith(("model name", "Model"))), platform.machine())
    with open("/proc/meminfo", encoding="ascii") as f:
        memory = int(f.readline().split()[1]) // 1024
    version = subprocess.run([os.path.join(BUILD, "haywaind"), "--version"], capture_output=True, text=True, check=False).stdout.strip()
    load = os.getloadavg()[0]
    print(f"{version} on {model}, {os.cpu_count()} cores, {memory} MB, Linux {platform.release()}, load {load:.1f}")


# ---- measuring a steady flow ----

def measure(counter, pid, seconds, settle=3):
    time.sleep(settle)  # what is measured is the steady state: caches warm, connections made
    counter.mark()
    begin, wrote = cpu_seconds(pid), written_bytes(pid)
    time.sleep(seconds)
    result = counter.report()
    result["cpu"] = cpu_seconds(pid) - begin
    result["wrote"] = written_bytes(pid) - wrote
    result["pss"], result["dirty"] = Memory.peak(pid)
    result["rate"] = result["readings"] / seconds
    result["cpu_million"] = result["cpu"] / max(result["readings"], 1) * 1e6
    return result


def flow_row(name, r):
    return [name, f"{r['rate']:.0f}", f"{r['cpu_million']:.2f}", mb(r["pss"]), mb(r["dirty"]), f"{r['p50']:.2f}", f"{r['p99']:.2f}",
            f"{r['wrote']:.0f}", f"{r['twice']:.0f}", f"{r['missing']:.0f}"]


FLOW_HEAD = ["", "readings/s", "CPU s/10^6", "Pss MB", "dirty MB", "p50 ms", "p99 ms", "disk B", "twice", "missing"]


def steady(quick):
    for period_us in (1_000_000, 100_000):
        rate = DEVICES * POINTS * 1_000_000 // period_us
        seconds = (8 if quick else 20) if period_us == 1_000_000 else (5 if quick else 12)
        headline(f"steady, {rate} readings/s: {DEVICES} devices of {POINTS} points every {period_us // 1000} ms")
        results = {}
        with Rig() as rig:
            broker, sim = rig.broker(), rig.devices()
            counter = rig.counter(broker)
            results["floor"] = measure(counter, rig.floor(broker, sim, period_us).pid, seconds)
        with Rig() as rig:
            broker, sim = rig.broker(), rig.devices()
            bridge = rig.broker(extra=f"connection relay\naddress 127.0.0.1:{broker.port}\ntopic # out 1\n"
                                      "notifications false\nrestart_timeout 1\n")
            counter = rig.counter(broker)
            rig.floor(bridge, sim, period_us)
            results["mosquitto bridge (relaying only)"] = measure(counter, bridge.process.pid, seconds)
        for name, tls in (("haywaind", False), ("haywaind, TLS", True)):
            with Rig() as rig:
                broker, sim = rig.broker(tls), rig.devices()
                counter = rig.counter(broker)
                daemon = rig.haywain(broker, sim, f"{period_us // 1000}ms", tls=tls)
                results[name] = measure(counter, daemon.process.pid, seconds)
        table(FLOW_HEAD, [flow_row(n, r) for n, r in results.items()])
        ours, floor = results["haywaind"], results["floor"]
        ratio = ours["cpu_million"] / floor["cpu_million"]
        relay = results["mosquitto bridge (relaying only)"]["cpu_million"]
        verdict(f"{rate}/s: CPU at most 1.5 of the floor's", ratio <= 1.5, f"{ratio:.2f}")
        verdict(f"{rate}/s: CPU below the bridge's", ours["cpu_million"] < relay, f"{ours['cpu_million']:.1f} against {relay:.1f}")
        verdict(f"{rate}/s: at most 4 MB of its own, dirty", ours["dirty"] <= 4 * 1024, f"{mb(ours['dirty'])} MB")
        verdict(f"{rate}/s: at most 6 MB of its own, dirty, with TLS", results["haywaind, TLS"]["dirty"] <= 6 * 1024,
                f"{mb(results['haywaind, TLS']['dirty'])} MB")
        verdict(f"{rate}/s: p99 under 10 ms", ours["p99"] < 10, f"{ours['p99']:.2f} ms")
        verdict(f"{rate}/s: nothing written to disk", ours["wrote"] == 0, f"{ours['wrote']:.0f} bytes")
        verdict(f"{rate}/s: none missing, none twice", ours["missing"] == ours["twice"] == 0,
                f"{ours['missing']:.0f} missing, {ours['twice']:.0f} twice")


def saturation(quick):
    headline(f"saturation: {DEVICES} devices of {POINTS} points every 1 ms")
    seconds = 4 if quick else 10
    results = {}
    with Rig() as rig:
        broker, sim = rig.broker(), rig.devices()
        results["floor"] = measure(rig.counter(broker), rig.floor(broker, sim, 1000).pid, seconds, 2)
    with Rig() as rig:
        broker, sim = rig.broker(), rig.devices()
        daemon = rig.haywain(broker, sim, "1ms", uplink="inflight = 2000;", queue='memory = "64MB";')
        results["haywaind"] = measure(rig.counter(broker), daemon.process.pid, seconds, 2)
    with Rig() as rig:
        broker, sim = rig.broker(), rig.devices()
        daemon = rig.haywain(broker, sim, "1ms", uplink="inflight = 100; batch = 50;", queue='memory = "64MB";')
        results["haywaind, batch = 50"] = measure(rig.counter(broker), daemon.process.pid, seconds, 2)
    table(FLOW_HEAD, [flow_row(n, r) for n, r in results.items()])
    share = results["haywaind"]["rate"] / results["floor"]["rate"]
    verdict("saturation: at least 80 % of the floor", share >= 0.8, f"{share * 100:.0f} %")


# ---- faults ----

def still_missing(answered, counter):
    """How many of the polls answered so far have not come: highest - came are the gaps, n - highest the end."""
    rows = {d: (highest, came) for d, _, highest, came, _ in counter.table("came")}
    return sum(max(n, rows.get(d, (0, 0))[0]) - rows.get(d, (0, 0))[1] for d, n in answered.items())


def account(sim, counter, timeout):
    """Wait until all that was answered by now has come: (polls, lost, seconds it took)."""
    answered = {d: n for d, _, n in sim.table("counts")}
    begin = time.monotonic()
    while True:
        lost = still_missing(answered, counter)
        if lost <= 0 or time.monotonic() - begin > timeout:
            return sum(answered.values()), lost, time.monotonic() - begin
        time.sleep(0.02)


def outage(quick, silent=False):
    away = 10 if quick else 60
    word = "reachable but silent" if silent else "away"
    headline(f"the broker is {word} for {away} s at 1000 readings/s")
    with Rig() as rig:
        broker, sim = rig.broker(), rig.devices()
        counter = rig.counter(broker)
        daemon = rig.haywain(broker, sim, "1s", uplink='inflight = 100; keepalive = "10s";')
        time.sleep(4)
        pid = daemon.process.pid
        counter.mark()
        wrote, before, begin = written_bytes(pid), sum(n for _, _, n in sim.table("counts")), time.monotonic()
        if silent:
            broker.freeze()
        else:
            broker.stop()
        time.sleep(away)
        wrote = written_bytes(pid) - wrote
        polls = sum(n for _, _, n in sim.table("counts")) - before
        expected = (time.monotonic() - begin) * DEVICES
        if silent:
            broker.thaw()
        else:
            broker.start()
        # From here on it counts when the gateway has found its way back.
        back = time.monotonic()
        first = counter.report()["samples"]
        wait_until(lambda: counter.report()["samples"] > first, 60, "the first sample after the outage")
        found = time.monotonic() - back
        total, lost, drain = account(sim, counter, 60)
        result = counter.report()
        (pss, dirty), peak = held_kb(pid), Memory.peak(pid)
        table(["", "polls", "skipped", "lost", "twice", "back after s", "drained in s", "disk B/reading", "Pss MB", "dirty MB",
               "most Pss", "most dirty"],
              [["haywaind", polls, f"{max(0, expected - polls):.0f}", lost, f"{result['twice']:.0f}", f"{found:.1f}", f"{drain:.2f}",
                f"{wrote / max(polls * POINTS, 1):.1f}", mb(pss), mb(dirty), mb(peak[0]), mb(peak[1])]])
        verdict(f"broker {word}: none lost", lost == 0 and total > 0, lost)
        verdict(f"broker {word}: twice at most the window of 100", result["twice"] <= 100, f"{result['twice']:.0f}")
        verdict(f"broker {word}: no poll skipped", expected - polls <= DEVICES, f"{polls} of {expected:.0f}")
        verdict(f"broker {word}: drained in under 2 s", drain < 2, f"{drain:.2f} s")
        verdict(f"broker {word}: in order", result["disordered"] == 0, f"{result['disordered']:.0f} out of order")
        verdict(f"broker {word}: at most 8 MB of its own, dirty", peak[1] <= 8192, f"{mb(peak[1])} MB")


def silent_broker(quick):
    outage(quick, silent=True)


def killed(quick):
    headline("SIGKILL in the middle of an outage at 1000 readings/s")
    away = 6 if quick else 30
    with Rig() as rig:
        broker, sim = rig.broker(), rig.devices()
        counter = rig.counter(broker)
        daemon = rig.haywain(broker, sim, "1s")
        time.sleep(3)
        counter.mark()
        broker.stop()
        time.sleep(away)
        daemon.process.kill()
        daemon.process.wait()
        daemon.start()
        time.sleep(3)
        broker.start()
        total, lost, drain = account(sim, counter, 15)
        result = counter.report()
        # 200 ms and two fsyncs of 50 polls a second
        allowed = DEVICES
        table(["", "polls", "lost", "twice", "out of order"],
              [["haywaind", total, lost, f"{result['twice']:.0f}", f"{result['disordered']:.0f}"]])
        verdict("killed: lost at most the loss window", lost <= allowed // 2, f"{lost} of 50 polls a second")
        del drain


def silent_device(quick):
    seconds = 10 if quick else 30
    headline(f"one device of {DEVICES} silent")
    with Rig() as rig:
        broker, sim = rig.broker(), rig.devices()
        counter = rig.counter(broker)
        rig.haywain(broker, sim, "1s", timeout="1s")
        time.sleep(4)
        sim.ask("silent 7 1")
        time.sleep(1)
        counter.mark()
        before, begin = {d: n for d, _, n in sim.table("counts")}, time.monotonic()
        time.sleep(seconds)
        after, took = {d: n for d, _, n in sim.table("counts")}, time.monotonic() - begin
        result = counter.report()
        share = min((after[d] - before[d]) / int(took) for d in after if d != 7)
        table(["", "least polls of a neighbour", "interval p50 ms", "p99 ms", "max ms"],
              [["the other 49", f"{share * 100:.0f} %", f"{result['interval_p50']:.0f}", f"{result['interval_p99']:.0f}",
                f"{result['interval_max']:.0f}"]])
        verdict("silent device: the others keep every poll", share >= 1, f"{share * 100:.0f} %")
        verdict("silent device: p99 of the interval under 1050 ms", result["interval_p99"] < 1050, f"{result['interval_p99']:.0f} ms")


def gateway(quick):
    seconds = 12 if quick else 40
    headline("ten units behind one TCP gateway, one of them silent; period 1 s, time-out 500 ms")
    with Rig() as rig:
        broker, sim = rig.broker(), rig.devices(1, 10)
        counter = rig.counter(broker)
        rig.haywain(broker, sim, "1s", devices=1, units=10, timeout="500ms")
        time.sleep(4)
        sim.ask("silent 0 5")
        time.sleep(1)
        counter.mark()
        before, begin = {u: n for _, u, n in sim.table("counts")}, time.monotonic()
        time.sleep(seconds)
        after, took = {u: n for _, u, n in sim.table("counts")}, time.monotonic() - begin
        result = counter.report()
        least = min(after[u] - before[u] for u in after if u != 5)
        table(["", "polls of the slowest neighbour", "of", "interval p99 ms", "max ms"],
              [["nine neighbours", least, f"{took:.0f}", f"{result['interval_p99']:.0f}", f"{result['interval_max']:.0f}"]])
        verdict("gateway: a neighbour waits at most one time-out for a probe", result["interval_max"] < 1000 + 500 + 250,
                f"longest interval {result['interval_max']:.0f} ms")


def serial_line(quick):
    """What one RS-485 bus carries against what its wire allows."""
    baud, slaves, registers = 115200, 32, 10
    seconds = 5 if quick else 15
    char = 10 / baud
    silence = max(3.5 * char, 0.00175)  # the standard's; before the request and before the answer
    allowed = 1 / ((8 + 5 + 2 * registers) * char + 2 * silence)
    headline(f"{slaves} slaves on one line of {baud} baud, {registers} registers each, as fast as it goes")
    with Rig() as rig:
        line = rig.keep(Talker("line", baud))
        line.port = line.process.stdout.readline().strip()
        daemon = rig.keep(LineDaemon(rig.path("haywain"), line.port, baud, slaves, registers))
        time.sleep(2)
        before, cpu, begin = line.ask("counts").split(), cpu_seconds(daemon.process.pid), time.monotonic()
        time.sleep(seconds)
        after, took = line.ask("counts").split(), time.monotonic() - begin
        cpu = cpu_seconds(daemon.process.pid) - cpu
        rate = (int(after[0]) - int(before[0])) / took
        busy = (int(after[1]) - int(before[1])) / took / 1e6
        table(["", "requests/s", "wire allows", "share", "line busy", "of one core", "Pss MB", "dirty MB"],
              [["haywaind", f"{rate:.0f}", f"{allowed:.0f}", f"{rate / allowed * 100:.0f} %", f"{busy * 100:.0f} %",
                f"{cpu / took * 100:.1f} %", *map(mb, Memory.peak(daemon.process.pid))]])
        verdict("serial line: at least 90 % of what the wire allows", rate / allowed >= 0.9, f"{rate / allowed * 100:.0f} %")


class BoardDaemon(Haywain):
    """The daemon listening to one board."""

    def __init__(self, directory, broker, port, form):  # pylint: disable=super-init-not-called
        os.makedirs(directory)
        self.dir = directory
        self.process = None
        decode = 'decode = "json";' if form == "json" else 'decode = "csv"; columns = "polls,answered,temp,hum,volt,on";'
        temp, hum = ('field = "env.temp"; ', 'field = "env.hum"; ') if form == "json" else ("", "")
        with open(directory + "/haywain.conf", "w", encoding="ascii") as f:
            f.write(f'gateway: {{ id = "bench"; clock = "trust"; log_level = "warning"; }};\n'
                    f'queue: {{ path = "{directory}/queue.db"; memory = "64MB"; }};\n'
                    f'uplinks: ( {{ name = "cloud"; url = "mqtt://127.0.0.1:{broker.port}"; inflight = 500; batch = 50; }} );\n'
                    f'links: ( {{ name = "l0"; plugin = "serial"; port = "{port}"; baud = 115200; {decode} }} );\n'
                    f'devices: ( {{ name = "d0"; link = "l0"; points: ( {{ name = "polls"; type = "uint32"; }}, {{ name = "answered"; type = "uint64"; }}, '
                    f'{{ name = "temp"; {temp}}}, {{ name = "hum"; {hum}}}, {{ name = "volt"; }}, {{ name = "on"; type = "bool"; }} ); }} );\n')
        self.start()


def board(quick):
    """What a board prints: lines of 6 values, as a line of 115200 baud brings them, and as fast as a pty does."""
    points, seconds = 6, 4 if quick else 12
    headline(f"a board that prints lines of {points} values")
    rows, kept = [], {}
    for form in ("json", "csv"):
        for name, rate in (("115200 baud", 11520), ("full pty speed", 0)):
            with Rig() as rig:
                broker = rig.broker()
                counter = rig.counter(broker)
                talker = rig.keep(Talker("board", form, rate))
                daemon = rig.keep(BoardDaemon(rig.path("haywain"), broker, talker.process.stdout.readline().strip(), form))
                pid = daemon.process.pid
                talker.ask("go")
                time.sleep(1)  # the first lines may be thrown away, and the caches are cold
                counter.mark()
                begin, (lines, sent), cpu = time.monotonic(), map(int, talker.ask("counts").split()), cpu_seconds(pid)
                time.sleep(seconds)
                (now_lines, now_sent), came, cpu = map(int, talker.ask("counts").split()), counter.report(), cpu_seconds(pid) - cpu
                took = time.monotonic() - begin
                last = int(talker.ask("halt").split()[0])

                def all_came(counter=counter, last=last):
                    return next((highest for _, _, highest, _, _ in counter.table("came")), 0) >= last - 1
                try:
                    wait_until(all_came, 60, "the last line")
                except TimeoutError:
                    pass  # the report shows what is missing
                end = counter.report()
                offered, rate_came = (now_lines - lines) / took, came["samples"] / took
                kept[form, rate] = {"missing": end["missing"], "twice": end["twice"], "offered": offered, "rate": rate_came,
                                    "cpu": cpu / max(offered * took * points, 1) * 1e6, "share": cpu / took,
                                    "memory": Memory.peak(pid)}
                rows.append([f"{form}, {name}", f"{(now_sent - sent) / took / 1000:.0f}", f"{offered:.0f}", f"{rate_came:.0f}",
                             f"{kept[form, rate]['cpu']:.2f}", f"{cpu / took * 100:.1f} %", f"{came['p50']:.2f}", f"{came['p99']:.2f}",
                             *map(mb, kept[form, rate]["memory"]), f"{end['twice']:.0f}", f"{end['missing']:.0f}"])
    table(["", "kB/s", "lines/s", "delivered/s", "CPU us/reading", "of one core", "p50 ms", "p99 ms", "Pss MB", "dirty MB", "twice", "missing"], rows)
    for form in ("json", "csv"):
        slow, fast = kept[form, 11520], kept[form, 0]
        verdict(f"board, {form}: all lines of a 115200-baud line come once", slow["missing"] == slow["twice"] == 0,
                f"{slow['missing']:.0f} missing, {slow['twice']:.0f} twice")
        verdict(f"board, {form}: a 115200-baud line takes under a tenth of a core", slow["share"] < 0.1, f"{slow['share'] * 100:.1f} %")
        verdict(f"board, {form}: at full speed at least 20 such lines' worth", fast["rate"] >= 20 * slow["rate"],
                f"{fast['rate'] / max(slow['rate'], 1):.0f}")
        verdict(f"board, {form}: at full speed none missing", fast["missing"] == 0, f"{fast['missing']:.0f} missing")


class LineDaemon(Haywain):
    """The daemon on a serial line, with no uplink."""

    def __init__(self, directory, port, baud, slaves, registers):  # pylint: disable=super-init-not-called
        os.makedirs(directory)
        self.dir = directory
        self.process = None
        points = ", ".join(f'{{ name = "p{a}"; holding = {a}; }}' for a in range(registers))
        listed = ",\n".join(f'  {{ name = "d{u}"; link = "bus"; unit = {u}; every = "20ms"; points: ( {points} ); }}'
                            for u in range(1, slaves + 1))
        with open(directory + "/haywain.conf", "w", encoding="ascii") as f:
            f.write(f'gateway: {{ id = "bench"; clock = "trust"; log_level = "warning"; }};\nqueue: {{ path = "{directory}/queue.db"; }};\n'
                    f'links: ( {{ name = "bus"; plugin = "modbus"; port = "{port}"; baud = {baud}; }} );\ndevices: (\n{listed}\n);\n')
        self.start()


def curve(quick):
    headline("what points cost: every 1 s")
    rows = []
    for devices, points in ((1, 10), (5, 20), (50, 20), (500, 20)):
        with Rig() as rig:
            broker, sim = rig.broker(), rig.devices(devices)
            counter = rig.counter(broker)
            daemon = rig.haywain(broker, sim, "1s", devices=devices, points=points)
            seconds = 5 if quick else 12
            r = measure(counter, daemon.process.pid, seconds)
            rows.append([f"{devices * points} points", devices, f"{r['cpu'] / seconds * 100:.2f} %", mb(r["pss"]), mb(r["dirty"]),
                         f"{r['p50']:.2f}", f"{r['p99']:.2f}", f"{r['missing']:.0f}"])
    table(["", "devices", "of one core", "Pss MB", "dirty MB", "p50 ms", "p99 ms", "missing"], rows)


def memory(quick):
    headline("memory after an outage and ten reloads")
    for name, tls, limit in (("plain", False, 8), ("TLS", True, 12)):
        with Rig() as rig:
            broker, sim = rig.broker(tls), rig.devices()
            counter = rig.counter(broker)
            daemon = rig.haywain(broker, sim, "100ms", tls=tls)
            time.sleep(3)
            broker.stop()
            time.sleep(5 if quick else 15)
            broker.start()
            account(sim, counter, 60)
            for _ in range(10):
                daemon.reload()
            pss, dirty = Memory.peak(daemon.process.pid)
            verdict(f"memory, {name}: at most {limit} MB of its own, dirty", dirty <= limit * 1024,
                    f"{mb(dirty)} MB at most (Pss {mb(pss)})")


def air(quick):
    seconds = 8 if quick else 20
    headline("Bluetooth: 1,000 advertisements/s from 500 addresses, 20 of them configured; a sample a second of each")
    with Rig() as rig:
        directory = rig.path("air")
        os.makedirs(directory)
        bluez = rig.keep(Bluez(directory)).start()
        broker = rig.broker()
        os.environ["DBUS_SYSTEM_BUS_ADDRESS"] = bluez.address
        daemon = rig.keep(Haywain.__new__(Haywain))
        daemon.dir = directory
        devices = ",\n".join(f'  {{ name = "s{i}"; link = "air"; address = "C0:00:00:00:00:{i:02X}"; }}' for i in range(20))
        with open(directory + "/haywain.conf", "w", encoding="ascii") as f:
            f.write(f'gateway: {{ id = "bench"; clock = "trust"; log_level = "warning"; }};\nqueue: {{ path = "{directory}/queue.db"; }};\n'
                    f'uplinks: ( {{ name = "cloud"; url = "mqtt://127.0.0.1:{broker.port}"; }} );\napi: {{ socket = ""; }};\n'
                    f'links: ( {{ name = "air"; plugin = "ble"; }} );\ndevices: (\n{devices}\n);\n')
        daemon.start()
        wait_until(lambda: bluez.calls("StartDiscovery") > 0, 30, "the scan")
        samples = rig.keep(Subscriber(broker.port, ("haywain/bench/data/#",)).start()).messages
        pid = daemon.process.pid
        quiet = held_kb(pid)[1]
        bluez.flood(1000, seconds + 6, 500)
        time.sleep(3)
        begin, now, before, flooded = cpu_seconds(pid), time.monotonic(), len(samples), bluez.flooded()
        time.sleep(seconds)
        took = time.monotonic() - now
        rate, heard = (len(samples) - before) / took, (bluez.flooded() - flooded) / took
        share, dirty = (cpu_seconds(pid) - begin) / (time.monotonic() - now), Memory.peak(pid)[1]
        table(["", "samples/s", "of one core", "dirty MB", "before the flood"],
              [[f"{heard:.0f} advertisements/s", f"{rate:.1f}", f"{share * 100:.1f} %", mb(dirty), mb(quiet)]])
        verdict("air: what is configured comes through", rate > 9, f"{rate:.1f} samples/s")
        verdict("air: under a quarter of a core", share < 0.25, f"{share * 100:.1f} %")
        verdict("air: at most 6 MB of its own, dirty", dirty <= 6 * 1024, f"{mb(dirty)} MB")


def soak(quick):
    minutes = 1 if quick else 10
    headline(f"{minutes:g} minutes at 1000 readings/s, a fault or a reload every ten seconds")
    with Rig() as rig:
        broker, sim = rig.broker(), rig.devices()
        counter = rig.counter(broker)
        daemon = rig.haywain(broker, sim, "1s", uplink='inflight = 100; keepalive = "5s";')
        pid = daemon.process.pid
        faults = [("broker away", broker.stop, broker.start), ("broker silent", broker.freeze, broker.thaw),
                  ("a device silent", lambda: sim.ask("silent 7 1"), lambda: sim.ask("answer 7 1")),
                  ("reload", daemon.reload, lambda: None)]
        time.sleep(4)
        counter.mark()
        rows, begin = [], time.monotonic()
        while not rows or time.monotonic() - begin < minutes * 60:
            for _, strike, heal in faults:
                strike()
                time.sleep(6)
                heal()
                time.sleep(4)
            _, lost, _ = account(sim, counter, 60)
            rows.append((held_kb(pid)[1], len(os.listdir(f"/proc/{pid}/fd")), lost))
        result = counter.report()
        shown = [(f"after {i + 1} rounds", mb(dirty), fds, lost) for i, (dirty, fds, lost) in enumerate(rows)]
        table(["", "dirty MB", "descriptors", "lost"], shown[:1] + shown[1:-1][::max(len(rows) // 6, 1)] + shown[1:][-1:])
        verdict("soak: none lost, in order", not any(r[2] for r in rows) and result["disordered"] == 0,
                f"{max(r[2] for r in rows)} lost, {result['disordered']:.0f} out of order")
        verdict("soak: as many descriptors as at first", rows[-1][1] <= rows[0][1], f"{rows[0][1]} and {rows[-1][1]}")
        half = rows[len(rows) // 2][0]
        verdict("soak: the second half takes no more than 5 % more memory", rows[-1][0] <= half * 1.05,
                f"{rows[0][0] / 1024:.1f} MB at first, {half / 1024:.1f} MB at half time, {rows[-1][0] / 1024:.1f} MB at the end")


SCENARIOS = {"steady": steady, "saturation": saturation, "outage": outage, "silent-broker": silent_broker, "killed": killed,
             "silent-device": silent_device, "gateway": gateway, "serial-line": serial_line, "board": board, "curve": curve, "memory": memory, "air": air,
             "soak": soak}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="shorter measurements")
    parser.add_argument("scenarios", nargs="*", choices=[[], *SCENARIOS])
    arguments = parser.parse_args()
    machine()
    for name in arguments.scenarios or SCENARIOS:
        try:
            SCENARIOS[name](arguments.quick)
        except (RuntimeError, TimeoutError) as fault:
            verdict(name, False, fault)
    headline("in short")
    for _, line in KEPT:
        print(line)
    missed = sum(not good for good, _ in KEPT)
    print(f"\n{len(KEPT) - missed} met, {missed} missed")


if __name__ == "__main__":
    main()
