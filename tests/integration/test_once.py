# SPDX-License-Identifier: Apache-2.0
"""haywaind --once: a newcomer who wants to see one device's values had to set a queue, a broker and a service up first."""
import json
import os
import subprocess
import threading

from conftest import BUILD, DAEMON, configuration, device, link
from processes import Lines, free_port, spawn
from test_serial import Line

POINTS = '{ name = "polls"; holding = 0; type = "uint32"; }, { name = "setpoint"; holding = 40; unit = "°C"; }'


def once(plant, links, devices, *arguments, rest=""):
    daemon = plant.haywain(configuration([], links, devices, rest=rest), start=False)
    status, out, err = daemon.call("--once", *arguments)
    assert not os.path.exists(daemon.queue), "it made a queue"
    return status, out, err


def rows(out):
    return [line.split(None, 3) for line in out.splitlines()[1:]]


def test_every_device_is_read_at_once_whatever_its_period(plant):
    modbus = plant.device((1, 2))
    status, out, err = once(plant, [link(modbus.port)], [device(every="366d", points=POINTS), device("d2", unit=2, every="1h")])
    assert (status, err) == (0, ""), out + err
    assert out.splitlines()[0].split() == ["DEVICE", "POINT", "VALUE", "QUALITY"]
    assert [row[:2] for row in rows(out)] == [["d1", "polls"], ["d1", "setpoint"], ["d2", "polls"]]
    assert "°C" in out
    assert modbus.counts() == {1: 1, 2: 1}, "a device was read more than once"


def test_a_device_that_gives_nothing_is_told_with_its_reason(plant):
    modbus, nobody = plant.device(), free_port()
    status, out, err = once(plant, [link(modbus.port), link(nobody, "gone")], [
        device(every="1h"), device("absent", unit=9, every="1h"), device("away", "gone", every="1h")])
    said = {row[0]: " ".join(row[1:]) for row in rows(out)}
    assert status == 1 and err == "", out + err
    assert said["d1"].startswith("polls ")
    assert said["absent"] == "- - no answer (asked for holding registers 0 to 1)", out
    assert said["away"] == "- - link gone is down: connection refused"


def test_a_point_that_is_refused_is_bad_and_its_device_is_there(plant):
    slave = plant.slave()
    good = slave.good
    slave.answer = lambda t, u, pdu: slave.frame(t, u, b"\x83\2") if pdu[1:3] == b"\0\x28" else good(t, u, pdu)
    status, out, _ = once(plant, [link(slave.port)], [device(every="1h", points=POINTS)])
    assert status == 0, out
    assert ["d1", "setpoint", "-", "bad: illegal data address"] in rows(out)


def test_as_json_it_is_what_the_local_api_says_of_a_device(plant):
    modbus = plant.device()
    status, out, _ = once(plant, [link(modbus.port)], [device(points=POINTS)], "--json")
    said, = json.loads(out)["devices"]
    assert status == 0 and said["name"] == "d1" and said["state"] == "online" and said["rounds"] == 1
    assert [point["name"] for point in said["points"]] == ["polls", "setpoint"] and said["points"][0]["value"] == 1


def test_a_device_that_speaks_unasked_is_listened_to(plant):
    line = Line(plant).plug()
    daemon = plant.haywain(configuration([], [
        f'  {{ name = "board"; plugin = "serial"; port = "{line.port}"; baud = 115200; decode = "json"; }}'], [
        '  { name = "node"; link = "board"; points: ( { name = "t"; field = "t"; }, { name = "u"; field = "u"; } ); }']), start=False)
    process = spawn([DAEMON, "-c", daemon.file, "--once"], env=daemon.environ(), cwd=daemon.dir, stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    lines = Lines(process.stdout)
    stop = threading.Event()

    def say():
        while not stop.wait(0.05):
            line.say('{"t": 21.5}\n')
            line.say('{"u": 7}\n')
    thread = threading.Thread(target=say)
    thread.start()
    try:
        assert process.wait(60) == 0
    finally:
        stop.set()
        thread.join()
    lines.join()
    assert ["node", "t", "21.5"] in rows(lines.text()) and ["node", "u", "7"] in rows(lines.text())


def test_a_port_that_the_running_daemon_has_is_left_to_it(plant):
    modbus = plant.device()
    daemon = plant.haywain(start=False)
    daemon.api = os.path.join(daemon.dir, "api.sock")
    api = f'api: {{ socket = "{daemon.api}"; }};\n'
    daemon.configure(configuration([], [link(modbus.port)], [device()], rest=api)).start()
    daemon.wait_line("d1: online")
    other = plant.device()
    status, out, err = once(plant, [link(other.port, "mine"), link(modbus.port, "again")], [device(on="again")], rest=api)
    assert status == 1 and out == ""
    assert f"the running haywaind (process {daemon.process.pid}) has tcp://127.0.0.1:{modbus.port} for its link bus" in err
    assert "haywain watch" in err and len(err.splitlines()) == 1
    # Another port is nobody's.
    assert once(plant, [link(other.port, "mine")], [device(on="mine")], rest=api)[0] == 0


def test_mistakes_are_told_and_the_rest_is_read(plant):
    modbus = plant.device()
    status, out, err = once(plant, [link(modbus.port)], [device(), device("d2", every="5")])
    assert status == 1 and rows(out)[0][:2] == ["d1", "polls"]
    assert "haywain.conf:" in err and "every" in err
    daemon = plant.haywain("gateway: {\n", start=False)
    status, out, err = daemon.call("--once")
    assert status == 1 and out == "" and "is not closed" in err
    daemon.configure("")
    assert "has no device" in daemon.call("--once")[2]


def test_the_tool_calls_it_by_the_same_name(plant):
    modbus = plant.device()
    daemon = plant.haywain(configuration([], [link(modbus.port)], [device()]), start=False)
    tool = os.path.join(BUILD, "haywain")
    done = subprocess.run([tool, "once", daemon.file], env=daemon.environ(), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0 and rows(done.stdout)[0][:2] == ["d1", "polls"], done.stdout + done.stderr
