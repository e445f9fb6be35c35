# SPDX-License-Identifier: Apache-2.0
"""Modbus devices that nobody here wrote: pymodbus on a serial line, npm's modbus-serial."""
import os
import shutil
import signal
import subprocess

import pytest
from conftest import PEERS, TOP, configuration, device, link, uplink
from processes import answers, free_port, spawn, stop, wait_until

POINTS = ('{ name = "a"; holding = 5; }, { name = "b"; holding = 6; type = "uint32"; }, '
          '{ name = "c"; reference = 40051; }')


class Line:
    """Two ptys that are one serial line, and slaves of pymodbus at its other end."""

    def __init__(self, directory, units):
        self.ours, self.theirs = os.path.join(directory, "line"), os.path.join(directory, "far")
        self.units = units
        self.socat = self.slaves = None

    def plug(self):
        self.socat = spawn(["socat", f"pty,raw,echo=0,link={self.theirs}", f"pty,raw,echo=0,link={self.ours}"],
                           stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(lambda: os.path.exists(self.ours) and os.path.exists(self.theirs), 20, "socat's ptys")
        self.slaves = spawn(["/usr/bin/python3", os.path.join(PEERS, "modbus_rtu.py"), self.theirs, *self.units],
                            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return self

    def unplug(self):
        stop(self.slaves, signal.SIGKILL)
        stop(self.socat, signal.SIGTERM)


def last_values(account, name):
    samples = account.samples.get(name)
    return samples[-1].get("values", {}) if samples else {}


def test_pymodbus_on_a_serial_line_that_is_pulled_out(plant, tmp_path):
    assert shutil.which("socat"), "socat is missing: tests/deps check"
    line = Line(str(tmp_path), (3, 4)).plug()
    plant.defer(lambda: line.unplug())
    broker = plant.broker()
    account = plant.account(broker)
    bus = f'  {{ name = "bus"; plugin = "modbus"; port = "{line.ours}"; baud = 19200; timeout = "300ms"; }}'
    devices = [device(name, unit=unit, every="200ms", points=POINTS) for name, unit in (("three", 3), ("four", 4), ("nobody", 9))]
    daemon = plant.haywain(configuration([uplink(broker.port)], [bus], devices))
    for name, unit in (("three", 3), ("four", 4)):
        base = 100 * unit
        wait_until(lambda n=name, b=base: last_values(account, n) ==
                   {"a": b + 5, "b": (b + 6) << 16 | b + 7, "c": b + 50}, 30, lambda n=name: f"{n}: {last_values(account, n)}")
    daemon.wait_line("nobody", "offline")
    line.unplug()
    daemon.wait_line("bus", "down")
    seen = len(account.samples["three"])
    line.plug()
    daemon.wait_line("bus", "up again")
    wait_until(lambda: any("a" in s.get("values", {}) for s in account.samples["three"][seen:]), 30, "values after it came back")


def test_npms_modbus_serial(plant):
    modules = os.path.join(TOP, "build", "npm", "node_modules")
    if not shutil.which("node") or not os.path.isdir(os.path.join(modules, "modbus-serial")):
        pytest.skip("SKIPPED: npm's modbus-serial is not here (tests/deps check says why)")
    port = free_port()
    server = spawn(["node", os.path.join(PEERS, "modbus_npm.js"), port], env={**os.environ, "NODE_PATH": modules},
                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    plant.defer(lambda: stop(server, signal.SIGKILL))
    wait_until(lambda: answers(port), 30, "modbus-serial to listen")
    broker = plant.broker()
    account = plant.account(broker)
    points = POINTS + ', { name = "i"; input = 7; type = "int16"; }, { name = "on"; coil = 9; }, { name = "off"; discrete = 9; }'
    plant.haywain(configuration([uplink(broker.port)], [link(port)], [device(unit=2, every="200ms", points=points)]))
    wait_until(lambda: last_values(account, "d1") == {"a": 205, "b": 206 << 16 | 207, "c": 250, "i": 5007, "on": True,
                                                       "off": False}, 30, lambda: last_values(account, "d1"))
