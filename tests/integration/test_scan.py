# SPDX-License-Identifier: Apache-2.0
"""Scans: a plugin's probe on a port that the daemon has open, over the local API and by the tool; and by hand."""
import json
import os
import socket
import subprocess
import threading

import pytest
from bluez import Bluez
from conftest import BUILD, DAEMON, PEERS, configuration, device, link
from processes import spawn, stop, wait_until
from test_api import Connection, ask, get, hold, SPEC
from test_serial import Line

TOOL = os.path.join(BUILD, "haywain")
SENSOR = "A4:C1:38:00:00:01"


def run(plant, links, devices, **environment):
    daemon = plant.haywain(start=False, **environment)
    daemon.api = os.path.join(daemon.dir, "api.sock")
    daemon.configure(configuration([], links, devices, rest=f'self = false;\napi: {{ socket = "{daemon.api}"; }};\n'))
    return daemon.start()


def haywain(daemon, *arguments):
    return subprocess.run([TOOL, "--socket", daemon.api, *arguments], env=daemon.environ(), cwd=daemon.dir, text=True,
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=120, check=False)


def lines(text):
    """What a scan said, object by object; each as docs/openapi.yaml has it, and the outcome at the end."""
    objects = [json.loads(line) for line in text.splitlines()]
    for said in objects:
        hold(said, SPEC["components"]["schemas"]["ScanLine"], "a line of a scan")
    assert [i for i, said in enumerate(objects) if "ok" in said] == [len(objects) - 1]
    return objects


def scan(daemon, plugin, *arguments, **more):
    response, data = ask(daemon.api, "POST", "/v1/scan", json.dumps({"plugin": plugin, "arguments": arguments, **more}))
    return response.status, lines(data.decode()) if response.status == 200 else json.loads(data)


def begin(daemon, plugin, *arguments, **more):
    connection = Connection(daemon.api)
    connection.request("POST", "/v1/scan", json.dumps({"plugin": plugin, "arguments": arguments, **more}))
    response = connection.getresponse()
    assert response.status == 200
    assert response.readline()  # it says something: it has begun
    return connection, response


def rounds(daemon, name="d1"):
    return get(daemon, f"/v1/devices/{name}")["rounds"]


def silent_but(*units):
    """A slave's answers: these units answer, all others are silent."""
    def answer(slave, transaction, unit, pdu):
        return slave.good(transaction, unit, pdu) if unit in units else None
    return answer


def slave_with(plant, *units):
    slave = plant.slave()
    slave.answer = lambda *question: silent_but(*units)(slave, *question)
    return slave


# ---- Modbus: between the rounds ----

def test_a_link_is_scanned_between_the_rounds_of_its_devices(plant):
    modbus = plant.device((1, 3))
    daemon = run(plant, [link(modbus.port, timeout="800ms")], [device(every="50ms")])
    daemon.wait_line("d1: online")
    done = haywain(daemon, "scan", "modbus", "scan", f"tcp://127.0.0.1:{modbus.port}", "1-4")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "unit 1   answers" in done.stdout and "unit 3   answers" in done.stdout and "2 units found" in done.stdout
    assert get(daemon, "/v1/devices/d1")["state"] == "online"
    daemon.wait_line("link bus", "is being scanned", "1 device goes on")
    daemon.wait_line("local API, user", "scan modbus on link bus scan 1-4: done in")


def test_a_terminal_sees_how_far_it_is(plant):
    slave = plant.slave()
    daemon = run(plant, [link(slave.port, timeout="5s")], [device(every="20ms")])
    daemon.wait_line("d1: online")
    ours, theirs = os.openpty()
    plant.defer(lambda: os.close(ours))
    done = subprocess.run([TOOL, "-s", daemon.api, "scan", "--link", "bus", "modbus", "scan", "1-30"], env=daemon.environ(),
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=theirs, text=True, timeout=60, check=False)
    os.close(theirs)
    seen = b""
    try:
        while more := os.read(ours, 4096):
            seen += more
    except OSError:
        pass  # its other end is closed
    assert done.returncode == 0 and b" of 30: unit " in seen, seen
    assert seen.endswith(b"\r\x1b[K")  # and leaves nothing behind
    assert "progress" not in done.stdout and "30 units found" in done.stdout


def test_a_scan_uses_the_connection_the_daemon_has(plant):
    slave = plant.slave()
    daemon = run(plant, [link(slave.port, timeout="5s")], [device(every="20ms")])
    daemon.wait_line("d1: online")
    status, said = scan(daemon, "modbus", "scan", "1-30", link="bus")
    assert status == 200 and said[-1] == {"ok": True}
    assert [s for s in said if "progress" in s]
    assert slave.connections == 1
    assert {unit for _, unit, _ in slave.requests} == set(range(1, 31))


def test_a_device_waits_for_one_step_at_most(plant):
    slave = slave_with(plant, 1)
    daemon = run(plant, [link(slave.port, timeout="400ms")], [device(every="20ms")])
    daemon.wait_line("d1: online")
    status, said = scan(daemon, "modbus", "scan", "2-6", link="bus")
    assert status == 200 and said[-1] == {"ok": True}
    units = [unit for _, unit, _ in slave.requests]
    # While a silent unit was waited for the device has come due: its round is next.
    assert set(range(2, 7)) <= set(units)
    assert all(after == 1 for unit, after in zip(units, units[1:]) if unit != 1), units


def test_a_link_that_is_down_says_so(plant):
    daemon = run(plant, [link(1, timeout="200ms")], [device()])
    daemon.wait_line("link bus", "down")
    status, said = scan(daemon, "modbus", "identify", "1", link="bus")
    assert status == 200 and not said[-1]["ok"]
    assert any("refused" in s.get("line", "") for s in said), said


def test_who_goes_away_ends_the_scan(plant):
    slave = slave_with(plant, 1)
    daemon = run(plant, [link(slave.port, timeout="200ms")], [device()])
    daemon.wait_line("d1: online")
    connection, _ = begin(daemon, "modbus", "scan", link="bus")
    status, said = scan(daemon, "modbus", "scan", "1-2", link="bus")
    assert status == 409 and "another scan" in said["error"]
    connection.close()
    daemon.wait_line("scan modbus on link bus scan: cancelled, the caller disconnected")
    status, said = wait_until(lambda: next((a for a in [scan(daemon, "modbus", "scan", "1-1", link="bus")] if a[0] == 200), None),
                              what="the next scan")
    assert said[-1] == {"ok": True}


def test_a_reader_that_does_not_read_does_not_hold_up_the_link(plant):
    slave = plant.slave()
    daemon = run(plant, [link(slave.port, timeout="5s")], [device(every="20ms")])
    daemon.wait_line("d1: online")
    sleeper = socket.socket(socket.AF_UNIX)
    plant.defer(sleeper.close)
    sleeper.connect(daemon.api)
    body = json.dumps({"plugin": "modbus", "link": "bus", "arguments": ["dump", "1", "holding", "2", "60000"]}).encode()
    sleeper.sendall(b"POST /v1/scan HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    daemon.wait_line("is being scanned")
    before = rounds(daemon)
    wait_until(lambda: rounds(daemon) > before + 50, what="rounds")
    daemon.stop()


def test_a_reload_that_takes_the_link_ends_its_scan(plant):
    slave = slave_with(plant, 1)
    daemon = run(plant, [link(slave.port, timeout="200ms")], [device()])
    daemon.wait_line("d1: online")
    connection, response = begin(daemon, "modbus", "scan", link="bus")
    daemon.reload(configuration([], [link(slave.port, timeout="250ms")], [device()],
                                rest=f'self = false;\napi: {{ socket = "{daemon.api}"; }};\n'))
    assert lines(response.read().decode())[-1] == {"ok": False, "error": "its link is being stopped"}
    connection.close()
    n = slave.counters[1]
    wait_until(lambda: slave.counters[1] > n + 3, what="polls of the link as it is now")


def test_leaving_does_not_wait_for_a_scan(plant):
    slave = slave_with(plant, 1)
    daemon = run(plant, [link(slave.port, timeout="20s")], [device()])
    daemon.wait_line("d1: online")
    connection, _ = begin(daemon, "modbus", "scan", "2-9", link="bus")
    daemon.stop()
    connection.close()


def test_a_scan_without_a_link_opens_its_own(plant):
    slave = slave_with(plant, 2)
    daemon = run(plant, [], [])
    status, said = scan(daemon, "modbus", "scan", f"tcp://127.0.0.1:{slave.port}", "2-3", "timeout=2000")
    assert status == 200 and said[-1] == {"ok": True}
    assert "1 unit found" in [s["line"] for s in said if "line" in s]
    status, said = scan(daemon, "modbus", "nonsense")
    assert said[-1] == {"ok": False, "error": "wrong arguments"} and "TARGET" in said[0]["line"]


def test_what_a_scan_prints_can_be_pasted(plant):
    """It was promised that a probe prints a configuration, and Modbus printed none."""
    modbus = plant.device((1, 3))
    daemon = plant.haywain(start=False)
    done = subprocess.run([DAEMON, "--probe", "modbus", "scan", f"tcp://127.0.0.1:{modbus.port}", "1-4"], env=daemon.environ(),
                          capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0 and "2 units found" in done.stdout, done.stdout + done.stderr
    block = done.stdout[done.stdout.index("links: ("):]
    daemon.configure(configuration([], rest=block))
    assert daemon.check()[0] == 0, daemon.check()
    daemon.start()
    daemon.wait_line("unit1: online")
    daemon.wait_line("unit3: online")


def test_what_a_scan_of_a_link_prints_belongs_to_it(plant):
    slave = slave_with(plant, 1, 2)
    links, devices = [link(slave.port, timeout="300ms")], [device()]
    daemon = run(plant, links, devices)
    daemon.wait_line("d1: online")
    status, said = scan(daemon, "modbus", "scan", "2-3", link="bus")
    assert status == 200 and said[-1] == {"ok": True}
    printed = [s["line"] for s in said if "line" in s]
    assert "links: (" not in printed
    found = [line for line in printed if "unit2" in line]
    assert len(found) == 1 and 'link = "bus"; unit = 2;' in found[0]
    daemon.reload(configuration([], links, devices + found, rest=f'self = false;\napi: {{ socket = "{daemon.api}"; }};\n'))
    daemon.wait_line("unit2: online")


# ---- Modbus: what a device tells of itself ----

@pytest.fixture
def known(plant):
    """A pymodbus device that answers function 43/14."""
    process = spawn(["/usr/bin/python3", os.path.join(PEERS, "modbus_identity.py")], stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    plant.defer(lambda: stop(process))
    return int(process.stdout.readline())


IDENTITY = {"vendor": "Barn & Sons", "product code": "BS-100", "revision": "2.17", "vendor URL": "http://barn.example",
            "product name": "Hay dryer", "model name": "Dryer 100", "user application": "Loft"}


def identity(text):
    return {line[:22].strip(): line[23:] for line in text.splitlines()}


def test_identify_by_hand(plant, known):
    daemon = plant.haywain(start=False)
    done = subprocess.run([DAEMON, "--probe", "modbus", "identify", f"tcp://127.0.0.1:{known}", "1"], env=daemon.environ(),
                          capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert identity(done.stdout) == IDENTITY


def test_identify_on_a_link(plant, known):
    daemon = run(plant, [link(known)], [device(points='{ name = "x"; holding = 5; }')])
    daemon.wait_line("d1: online")
    done = haywain(daemon, "scan", "--link", "bus", "modbus", "identify", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert identity(done.stdout) == IDENTITY


# ---- serial: the port is lent ----

class Board:
    """Says a line some times a second, until it is closed."""

    def __init__(self, line):
        self.line, self.done = line, threading.Event()
        self.thread = threading.Thread(target=self._speak)
        self.thread.start()

    def _speak(self):
        while not self.done.wait(0.05):  # a board's own pace
            self.line.say('{"w":12.5,"unit":"kg"}\r\n')

    def close(self):
        self.done.set()
        self.thread.join()


def test_a_serial_port_is_lent_and_taken_back(plant):
    line = Line(plant).plug()
    board = Board(line)
    plant.defer(board.close)
    daemon = run(plant, [f'  {{ name = "scale"; plugin = "serial"; port = "{line.port}"; baud = 115200; decode = "json"; }}'],
                 ['  { name = "d1"; link = "scale"; points: ( { name = "w"; access = "write"; write_template = "{value}"; } ); }'])
    daemon.wait_line("d1: online")
    done = haywain(daemon, "scan", "serial", os.path.realpath(line.port), "--baud", "115200")
    assert done.returncode == 0, done.stdout + done.stderr + daemon.text()
    assert 'decode = "json"' in done.stdout and '{ name = "w"; }' in done.stdout
    daemon.wait_line("link scale", "is being scanned; its 1 device waits")
    start = len(daemon.log.lines)
    daemon.wait_line("link scale", "is scanned no more")
    wait_until(lambda: get(daemon, "/v1/devices/d1")["state"] == "online", what="the device to be back")
    ts = get(daemon, "/v1/devices/d1")["points"][0]["ts"]
    wait_until(lambda: get(daemon, "/v1/devices/d1")["points"][0]["ts"] > ts, what="readings")
    assert start and get(daemon, "/v1/links")["links"][0]["state"] == "up"
    # And again, broken off: writes are refused meanwhile, and it comes back.
    connection, _ = begin(daemon, "serial", "--baud", "300", "--seconds", "60", link="scale")
    response, data = ask(daemon.api, "POST", "/v1/devices/d1/points/w", "1")
    assert response.status == 503 and "scanned" in json.loads(data)["error"]
    assert get(daemon, "/v1/links")["links"][0]["reason"] == "is being scanned"
    assert get(daemon, "/v1/devices/d1")["reason"] == "its link is being scanned"
    connection.close()
    wait_until(lambda: get(daemon, "/v1/devices/d1")["state"] == "online", what="the device to be back")


def test_a_device_without_points_is_heard_again_after_a_scan(plant):
    """The points that its frames brought have no configuration: taken for configured ones when the device was started again,
    they ended the daemon."""
    line = Line(plant).plug()
    board = Board(line)
    plant.defer(board.close)
    daemon = run(plant, [f'  {{ name = "scale"; plugin = "serial"; port = "{line.port}"; baud = 115200; decode = "json"; }}'],
                 ['  { name = "d1"; link = "scale"; }'])
    wait_until(lambda: len(get(daemon, "/v1/devices/d1")["points"]) == 2, what="both points")
    done = haywain(daemon, "scan", "serial", os.path.realpath(line.port), "--baud", "115200")
    assert done.returncode == 0, done.stdout + done.stderr + daemon.text()
    daemon.wait_line("link scale", "is scanned no more")
    ts = get(daemon, "/v1/devices/d1")["points"][0]["ts"]
    wait_until(lambda: get(daemon, "/v1/devices/d1")["points"][0]["ts"] > ts, what="readings")
    assert [p["name"] for p in get(daemon, "/v1/devices/d1")["points"]] == ["w", "unit"]
    assert not daemon.said("cannot become a point")
    daemon.stop()


def test_a_reload_while_a_port_is_lent(plant):
    line = Line(plant).plug()
    board = Board(line)
    plant.defer(board.close)
    more = f'  {{ name = "scale"; plugin = "serial"; port = "{line.port}"; baud = 115200; decode = "json"; }}'
    first = '  { name = "d1"; link = "scale"; points: ( { name = "w"; } ); }'
    second = '  { name = "d2"; link = "scale"; points: ( { name = "unit"; type = "string"; } ); }'
    rest = 'self = false;\napi: { socket = "%s"; };\n'
    daemon = run(plant, [more], [first])
    daemon.wait_line("d1: online")
    # A device comes and one goes while the port is lent.
    connection, response = begin(daemon, "serial", "--baud", "300", "--seconds", "3600", link="scale")
    daemon.reload(configuration([], [more], [second], rest=rest % daemon.api))
    connection.close()
    wait_until(lambda: [d["name"] for d in get(daemon, "/v1/devices")["devices"] if d["state"] == "online"] == ["d2"],
               what="the new device alone")
    # The link itself goes.
    connection, response = begin(daemon, "serial", "--baud", "300", "--seconds", "3600", link="scale")
    daemon.reload(configuration([], [more.replace("scale", "other")], [first.replace("scale", "other")], rest=rest % daemon.api))
    assert lines(response.read().decode())[-1] == {"ok": False, "error": "its link is being stopped"}
    connection.close()
    wait_until(lambda: [d["name"] for d in get(daemon, "/v1/devices")["devices"] if d["state"] == "online"] == ["d1"],
               what="the device on the new link")
    connection, _ = begin(daemon, "serial", "--baud", "300", "--seconds", "3600", link="other")
    daemon.stop()
    connection.close()


def test_ports_are_listed_without_a_daemon(plant):
    daemon = plant.haywain(start=False)
    daemon.api = os.path.join(daemon.dir, "nobody.sock")
    done = haywain(daemon, "scan", "serial")
    assert done.returncode == 0 and ("/dev/tty" in done.stdout or "no serial port" in done.stdout), done.stdout + done.stderr
    done = haywain(daemon, "--json", "scan", "serial")
    assert lines(done.stdout)[-1] == {"ok": True}
    done = haywain(daemon, "scan", "--json", "serial", "/nowhere/tty")
    assert done.returncode == 1 and lines(done.stdout)[-1]["ok"] is False


# ---- BLE: beside ----

@pytest.fixture
def bluez(plant):
    bluez = Bluez(plant._path("bluez"))
    plant.defer(bluez.close)
    return bluez.start() or bluez


def test_what_is_in_the_air(plant, bluez):
    daemon = run(plant, ['  { name = "air"; plugin = "ble"; }'],
                 ['  { name = "d1"; link = "air"; address = "A4:C1:38:00:00:02"; interval = "0s"; }'],
                 DBUS_SYSTEM_BUS_ADDRESS=bluez.address)
    wait_until(lambda: bluez.calls("StartDiscovery") >= 1, 60, "discovery")
    spoken = threading.Event()

    def speak():
        # The scan has its own discovery: what is advertised from then on is heard.
        wait_until(lambda: bluez.calls("StartDiscovery") >= 2, 60, "a second discovery")
        bluez.bthome(SENSOR, "40000102c40903bf13", rssi=-63, name="Loft")
        bluez.advertise("11:22:33:44:55:66", rssi=-80)
        bluez.bthome("A4:C1:38:00:00:02", "40000102c40903bf13")
        spoken.set()

    speaker = threading.Thread(target=speak)
    speaker.start()
    done = haywain(daemon, "scan", "ble", "hci0", "5")
    speaker.join()
    assert spoken.is_set()
    assert done.returncode == 0, done.stdout + done.stderr
    heard = {line.split()[0]: line for line in done.stdout.splitlines() if " dBm " in line}
    assert "bthome" in heard[SENSOR] and "temperature 25 °C, humidity 50.55 %" in heard[SENSOR] and "-63" in heard[SENSOR]
    assert "Loft" in heard[SENSOR] and f'name = "Loft"; link = "air"; address = "{SENSOR}"; decode = "bthome"' in done.stdout
    assert "nothing that is understood" in heard["11:22:33:44:55:66"]
    # The daemon's own ears stayed open.
    daemon.wait_line("d1: online")
    assert "local API" in daemon.wait_line("scan ble on link air 5: done")


def test_what_is_in_the_air_by_hand(plant, bluez):
    daemon = plant.haywain(start=False, DBUS_SYSTEM_BUS_ADDRESS=bluez.address)
    bluez.bthome(SENSOR, "40000102c40903bf13", rssi=-63)
    done = subprocess.run([DAEMON, "--probe", "ble", "hci0", "1"], env=daemon.environ(), capture_output=True, text=True,
                          timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert SENSOR in done.stdout and "temperature 25 °C" in done.stdout
    done = subprocess.run([DAEMON, "--probe", "ble", "hci7", "1"], env=daemon.environ(), capture_output=True, text=True,
                          timeout=60, check=False)
    assert done.returncode == 1 and "no adapter hci7" in done.stdout
