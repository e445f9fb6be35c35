# SPDX-License-Identifier: Apache-2.0
"""Boards on socat's pseudo-terminals: what they print arrives at the broker, what is commanded arrives at them."""
import ast
import glob
import json
import os
import re
import shutil
import socket
import subprocess
import threading
import time

import pytest
from conftest import DAEMON, TOP, configuration, uplink
from processes import spawn, stop, wait_until

EXAMPLES = os.path.join(TOP, "docs", "examples")
RECORDINGS = os.path.join(TOP, "tests", "recordings", "serial")
MAIN = os.path.join(EXAMPLES, "micropython", "main.py")


class Line:
    """Two pseudo-terminals joined by socat: `port` for the daemon, the other end for the test."""

    def __init__(self, plant, name="line", program=None):
        self.port = os.path.join(plant.dir, name)
        self.other = self.port + "-board"
        far = f"EXEC:{program},pty,raw,echo=0" if program else f"pty,raw,echo=0,link={self.other}"
        self.argv = ["socat", f"pty,raw,echo=0,link={self.port}", far]
        self.process = None
        self.fd = -1
        plant.defer(self.unplug)
        self.program = program

    def plug(self):
        self.process = spawn(self.argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(lambda: os.path.exists(self.port) and (self.program or os.path.exists(self.other)), what="socat's ptys")
        if not self.program:
            self.fd = os.open(self.other, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        return self

    def say(self, data):
        """All of it, however slowly it is taken."""
        data = data.encode() if isinstance(data, str) else data
        while data:
            try:
                data = data[os.write(self.fd, data):]
            except BlockingIOError:
                time.sleep(0.001)  # the other end reads at its own pace

    def hear(self, wanted, timeout=20):
        heard = b""

        def enough():
            nonlocal heard
            try:
                heard += os.read(self.fd, 4096)
            except BlockingIOError:
                pass
            return wanted in heard
        wait_until(enough, timeout, lambda: f"{wanted} on the line, not {heard}")

    def unplug(self):
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
        if self.process:
            stop(self.process)
            self.process = None
        if os.path.islink(self.port):
            os.unlink(self.port)


def link(line, name="board", more='decode = "json";'):
    return f'  {{ name = "{name}"; plugin = "serial"; port = "{line.port}"; baud = 115200; {more} }}'


def recorded(name):
    with open(os.path.join(RECORDINGS, name), "rb") as f:
        return f.read()


def device(name="board", points="", more="", on=None):
    points = f"points: ( {points} );" if points else ""
    return f'  {{ name = "{name}"; link = "{on or name}"; {more} {points} }}'


def values(account, name, point):
    return [s["values"][point] for s in account.samples.get(name, []) if point in s["values"]]


def resident(daemon):
    with open(f"/proc/{daemon.process.pid}/statm", encoding="ascii") as f:
        return int(f.read().split()[1]) * 4096


def opened(daemon, line, start=0):
    daemon.wait_line(line.port, "is open", start=start)
    line.say("\n")  # ends what might be the rest of a line


def test_what_a_board_prints_arrives_in_order_and_under_its_names(plant):
    broker = plant.broker()
    account = plant.account(broker)
    line = Line(plant).plug()
    daemon = plant.haywain(configuration([uplink(broker.port)], [link(line)], [device()]))
    opened(daemon, line)
    for n in range(200):
        line.say(json.dumps({"n": n, "env": {"t": 20 + n / 10}, "on": n % 2 == 0}) + "\r\n")
    wait_until(lambda: len(values(account, "board", "n")) == 200, what="200 readings")
    assert values(account, "board", "n") == list(range(200))
    assert values(account, "board", "env.t")[5] == 20.5
    assert values(account, "board", "on")[:2] == [True, False]
    daemon.stop()


def test_unplugged_offline_with_the_reason_and_found_again(plant):
    broker = plant.broker()
    account = plant.account(broker)
    cards = plant.subscriber(broker, ("haywain/plant/device/board",), client_id="cards")
    line = Line(plant)
    daemon = plant.haywain(configuration([uplink(broker.port)], [link(line)], [device(points='{ name = "t"; }')]))
    daemon.wait_line("is not there")
    for n in range(3):
        mark = len(daemon.log.lines)
        line.plug()
        opened(daemon, line, mark)
        line.say('{"t":%d}\n{"t":9' % n)
        wait_until(lambda n=n: n in values(account, "board", "t") and cards.messages[-1].json()["online"], what="the reading")
        line.unplug()
        wait_until(lambda: cards.messages[-1].json().get("reason") == "offline", what="the device offline at the broker")
    assert daemon.said("down", "unplugged")
    assert values(account, "board", "t") == [0, 1, 2]
    daemon.stop()


def test_a_flood_is_bounded_and_does_not_hurt_the_others(plant):
    broker = plant.broker()
    account = plant.account(broker)
    wild, tame = Line(plant, "wild").plug(), Line(plant, "tame").plug()
    daemon = plant.haywain(configuration(
        [uplink(broker.port)], [link(wild, "wild"), link(tame, "tame")],
        [device("wild", '{ name = "t"; }'), device("tame", '{ name = "t"; }')]))
    opened(daemon, wild)
    opened(daemon, tame)
    before = resident(daemon)
    flood = threading.Thread(target=lambda: wild.say(b"x" * 10_000_000 + b"\n" + os.urandom(1_000_000) + b"\n" + b'{"t":7}\n'))
    flood.start()
    for n in range(100):
        tame.say('{"t":%d}\n' % n)
    wait_until(lambda: values(account, "tame", "t") == list(range(100)), what="all of the neighbour's readings")
    flood.join()
    wait_until(lambda: values(account, "wild", "t") == [7], what="the line to be found again")
    assert daemon.said("longer than max_frame")
    assert resident(daemon) - before < 16_000_000
    daemon.stop()


def answer_requests(line, done, answered):
    """A board that answers each Q with the number of it."""
    while not done:
        try:
            asked = os.read(line.fd, 4096).count(b"Q\n")
        except BlockingIOError:
            asked = 0
        for _ in range(asked):
            answered.append(time.monotonic())
            line.say('{"n":%d}\n' % len(answered))
        time.sleep(0.002)  # a board's own pace


def test_a_megabyte_a_second_is_counted_and_the_neighbour_keeps_its_pace(plant):
    """Of 10 KB, 100 times a second: one frame too long, 40 that are no JSON, 10 that are."""
    broker = plant.broker()
    account = plant.account(broker)
    wild, tame = Line(plant, "wild").plug(), Line(plant, "tame").plug()
    daemon = plant.haywain(configuration(
        [uplink(broker.port)], [link(wild, "wild"), link(tame, "tame", 'decode = "json"; request = "Q\\n"; timeout = "5s";')],
        [device("wild", '{ name = "t"; }'), device("tame", '{ name = "n"; }', 'every = "50ms";')]))
    opened(daemon, wild)
    done, answered, seconds = [], [], 2
    thread = threading.Thread(target=answer_requests, args=(tame, done, answered))
    thread.start()
    try:
        wait_until(lambda: values(account, "tame", "n"), what="the neighbour's first answer")
        begin = len(answered)
        time.sleep(seconds)  # a stretch of quiet to compare with
        quiet = len(answered) - begin
        begin, start, before, memory = len(answered), time.monotonic(), resident(daemon), 0
        for n in range(100 * seconds):
            wild.say(b"x" * 5000 + b"\n" + (b'{"t":' + b"y" * 90 + b"\n") * 40 + (b'{"t":%d}' % n + b" " * 90 + b"\n") * 10)
            memory = max(memory, resident(daemon))
            time.sleep(max(0, start + (n + 1) / 100 - time.monotonic()))
        flooded, took = len(answered) - begin, time.monotonic() - start
    finally:
        done.append(True)
        thread.join()
    wait_until(lambda: len(values(account, "wild", "t")) == 1000 * seconds, what="all that was right in the flood")
    assert flooded / took > 0.5 * quiet / seconds, (flooded, took, quiet)
    assert memory - before < 24_000_000
    daemon.stop()
    told = [text for _, text in daemon.log.lines if "link wild" in text and "dropped" in text]
    assert len(told) == 3, told
    rest = re.search(r"(\d+) more dropped .*: (\d+) too long, 0 with a wrong checksum, (\d+) that made no sense", told[-1])
    assert [int(n) for n in rest.groups()] == [41 * 100 * seconds - 2, 100 * seconds - 1, 4000 * seconds - 1], told


def test_a_device_is_asked_and_what_does_not_answer_goes_offline(plant):
    broker = plant.broker()
    account = plant.account(broker)
    line = Line(plant).plug()
    more = 'decode = "regex"; pattern = "^S S +(?<weight>-?[0-9.]+) g"; request = "SI\\r\\n"; timeout = "200ms";'
    daemon = plant.haywain(configuration([uplink(broker.port)], [link(line, more=more)],
                                         [device(points='{ name = "weight"; unit = "g"; }', more='every = "100ms";')]))
    for weight in ("100.03", "-0.02"):
        line.hear(b"SI\r\n")
        line.say(f"S S     {weight} g\r\n")
        wait_until(lambda weight=weight: float(weight) in values(account, "board", "weight"), what="the weight")
    daemon.wait_line("device board", "offline", "timeout")
    daemon.stop()


def run_main(plant):
    """Debian's micropython where there is one, else a Python that keeps to its subset."""
    micropython = shutil.which("micropython")
    if not micropython:
        print("micropython is not installed: main.py is run by CPython, its modules and names checked against MicroPython's")
        with open(MAIN, encoding="utf-8") as f:
            tree = ast.parse(f.read())
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                assert {a.name for a in node.names} <= {"json", "select", "sys", "time"}
            if isinstance(node, ast.ImportFrom):
                assert node.module == "machine"
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "time":
                assert node.attr in ("time", "sleep")
            assert not isinstance(node, (ast.Match, ast.NamedExpr, ast.AsyncFunctionDef, ast.JoinedStr))
    return Line(plant, program=f"{micropython or '/usr/bin/python3'} {MAIN}").plug()


def write_point(daemon, path, body):
    """Through the local API; the first line of the answer."""
    with socket.socket(socket.AF_UNIX) as api:
        api.settimeout(30)
        api.connect(os.path.join(daemon.dir, "api.sock"))
        api.sendall(f"POST /v1/devices/{path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                    f"Content-Length: {len(body)}\r\n\r\n{body}".encode())
        return api.recv(4096).split(b"\r\n")[0]


def test_the_micropython_example_runs_as_it_is_described(plant):
    broker = plant.broker()
    account = plant.account(broker)
    line = run_main(plant)
    with open(MAIN, encoding="utf-8") as f:
        text = f.read().split('"""')[1]
    text = ast.literal_eval('"""' + text + '"""').split("For haywaind:", 1)[1]
    text = text.replace("/dev/serial/by-id/usb-MicroPython_Board_…-if00", line.port)
    daemon = plant.haywain(configuration([uplink(broker.port)], rest='api: { socket = "api.sock"; };\n') + text)
    wait_until(lambda: values(account, "pico", "temperature"), what="a reading")
    assert values(account, "pico", "temperature")[-1] == 21.5
    assert b" 200 " in write_point(daemon, "pico/points/led", '{"value":true}')
    wait_until(lambda: values(account, "pico", "led")[-1] is True, what="the led on")
    daemon.stop()


def test_the_arduino_example_runs_as_it_is_described(plant):
    """The sketch itself, on as much of an Arduino as it needs."""
    sketch = os.path.join(EXAMPLES, "arduino", "haywain.ino")
    program = os.path.join(plant.dir, "uno")
    subprocess.run(["g++", "-Wall", "-Werror", "-x", "c++", "-include", os.path.join(TOP, "tests", "peers", "arduino.h"), sketch,
                    "-o", program], check=True)
    with open(sketch, encoding="utf-8") as f:
        text = f.read().split("For haywaind:", 1)[1].split("*/", 1)[0].replace("\n *", "\n")
    broker = plant.broker()
    account = plant.account(broker)
    line = Line(plant, program=program).plug()
    text = text.replace("/dev/serial/by-id/usb-Arduino…-if00", line.port)
    daemon = plant.haywain(configuration([uplink(broker.port)], rest='api: { socket = "api.sock"; };\n') + text)
    wait_until(lambda: values(account, "uno", "temperature"), what="a reading")
    assert values(account, "uno", "temperature")[-1] == 21.3
    assert values(account, "uno", "light")[-1] == 512
    assert b" 200 " in write_point(daemon, "uno/points/relay", '{"value":true}')
    wait_until(lambda: values(account, "uno", "relay")[-1] is True, what="the relay on")
    daemon.stop()


@pytest.mark.parametrize("name, recording, expected", (
    ("gps", "gps.nmea", {"latitude": -37.784788, "longitude": 175.314897, "altitude": 59.9, "satellites": 8, "speed": 0.69}),
    ("smartmeter", "meter.d0", {"import": 52185.7825309, "export": 19949.3221493, "power": 2124.86}),
    ("p1", "meter.p1", {"import_low": 1581.123, "import_normal": 1435.706, "power": 2.027, "gas": 981.443}),
    ("sml", "meter-mt631.sml", {"import": 2043104.7, "export": 0, "power": 193}),
    ("vedirect", "shunt.vedirect", {"voltage": 12.065, "current": -7.626, "charge": 83.9, "alarm": False}),
    ("vedirect", "shunt-hex.vedirect", {"voltage": 12.065, "current": -7.626, "charge": 83.9, "alarm": False}),
), ids=lambda p: p if isinstance(p, str) and "." not in p else "")
def test_the_examples_make_readings_of_real_frames(plant, name, recording, expected):
    broker = plant.broker()
    account = plant.account(broker)
    line = Line(plant).plug()
    with open(os.path.join(EXAMPLES, name + ".conf"), encoding="utf-8") as f:
        text = re.sub(r'port *= *"[^"]*"', f'port = "{line.port}"', f.read())
    daemon = plant.haywain(configuration([uplink(broker.port)]) + text)
    opened(daemon, line)
    line.say(recorded(recording) * 2)  # the first frame may be thrown away
    device_name = re.search(r'devices: \(\s*{ name = "([^"]*)"', text).group(1)
    for point, value in expected.items():
        wait_until(lambda point=point: values(account, device_name, point), what=point)
        assert values(account, device_name, point)[0] == pytest.approx(value, abs=1e-6), point
    daemon.stop()


@pytest.mark.parametrize("file", sorted(glob.glob(os.path.join(EXAMPLES, "*.conf"))), ids=os.path.basename)
def test_the_examples_are_good(plant, file):
    daemon = plant.haywain()
    daemon.configure(configuration())
    os.makedirs(os.path.join(daemon.dir, "conf.d"))
    shutil.copy(file, os.path.join(daemon.dir, "conf.d"))
    status, said = daemon.check()
    assert status == 0, said
    assert "1 link, 1 device" in said


def test_mistakes_stand_at_their_line(plant):
    daemon = plant.haywain()
    line = Line(plant)
    daemon.configure(configuration([], [link(line, more='decode = "regex"; pattern = "(?<t>[0-9";')],
                                   [device(points='{ name = "t"; }')]))
    status, said = daemon.check()
    assert status == 1
    assert "haywain.conf:" in said and "pattern" in said and "at character" in said


@pytest.mark.parametrize("said, found", (
    (b'{"env":{"temp":21.5},"ok":true,"name":"x y"}\r\n', 'name = "env.temp"'),
    (recorded("meter.p1"), 'decode = "obis"'),
    (recorded("meter-mt631.sml"), 'decode = "sml"'),
), ids=("json", "obis", "sml"))
def test_the_probe_writes_a_configuration_that_works(plant, said, found):
    line = Line(plant).plug()
    daemon = plant.haywain()
    done = []

    def board():
        while not done:
            line.say(said)
            time.sleep(0.05)  # a board's own pace

    thread = threading.Thread(target=board)
    thread.start()
    try:
        probe = subprocess.run([DAEMON, "--probe", "serial", line.port], env=daemon.environ(), capture_output=True,
                               text=True, timeout=60, check=False)
    finally:
        done.append(True)
        thread.join()
    assert probe.returncode == 0, probe.stdout + probe.stderr
    assert "by hand" not in probe.stderr
    daemon.configure(configuration() + probe.stdout)
    status, checked = daemon.check()
    assert status == 0, probe.stdout + checked
    assert "1 link, 1 device" in checked
    assert found in probe.stdout


def test_the_probe_says_what_it_does_not_understand(plant):
    daemon = plant.haywain()
    for arguments, status in ((["sim"], 1), (["nosuch"], 1), (["serial", "/nowhere/tty"], 1), (["serial", "--what"], 64)):
        done = subprocess.run([DAEMON, "--probe", *arguments], env=daemon.environ(), capture_output=True, text=True,
                              timeout=60, check=False)
        assert done.returncode == status, (arguments, done.stdout, done.stderr)
        assert done.stdout + done.stderr
