#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""make vm-hotplug: the installed package in a guest, a USB serial adapter (ftdi_sio) that is pulled and plugged again,
a board behind it that this program is, and a broker outside. As root.
"""
import fcntl
import hashlib
import json
import os
import shutil
import socket
import struct
import tempfile
import termios
import threading
import time

import vm  # first: it finds tests/peers

from broker import Broker
from mqtt import Subscriber
from processes import wait_until

SERIAL = "A50285BI"
BY_ID = f"/dev/serial/by-id/usb-QEMU_QEMU_USB_SERIAL_{SERIAL}-if00-port0"
# 7E1: what no pseudo-terminal takes. Of each number the line has a copy, so that a torn line is told from a whole one.
CONFIGURATION = f"""gateway: {{ id = "plant"; clock = "trust"; }};
self = false;
uplinks: ( {{ name = "cloud"; url = "mqtt://{vm.HOST}:%d"; }} );
links: ( {{ name = "usb"; plugin = "serial"; port = "{BY_ID}"; baud = 115200; mode = "7E1";
    decode = "csv"; columns = "n,copy"; }} );
devices: ( {{ name = "board"; link = "usb"; points: (
    {{ name = "n"; field = "n"; type = "uint32"; }}, {{ name = "copy"; field = "copy"; type = "uint32"; }} ); }} );
"""
LINES_A_SECOND = 10


class Board(threading.Thread):
    """Counts, and says so on its line for as long as it is plugged in. Its numbers go on where they stood."""

    def __init__(self, path, first, speaks):
        super().__init__(daemon=True)
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.n = first
        self.lines = 0  # whole ones
        self.quiet = threading.Event()
        if not speaks:
            self.quiet.set()

    def run(self):
        try:
            # Whole lines: on a busy machine a pause inside one would be as long as that between two, and the plugin
            # takes what comes after a silence for the beginning of a line.
            while not self.quiet.wait(1 / LINES_A_SECOND):
                self.n += 1
                self.socket.sendall(f"{self.n},{self.n}\r\n".encode())
                self.lines += 1
        except OSError:
            pass

    def stop(self, in_a_line=False):
        """in_a_line: the last thing it says is the beginning of a line that would pass for a reading."""
        self.quiet.set()
        self.join()
        if in_a_line:
            self.n += 1
            self.socket.sendall(f"{self.n},{self.n // 10}".encode())
        # qemu 7.2 falls when bytes come for an adapter that has just been pulled: it has to have taken them all.
        wait_until(lambda: not self._untaken(), vm.SLOW, "the adapter to take what the board said")

    def _untaken(self):
        return struct.unpack("i", fcntl.ioctl(self.socket, termios.TIOCOUTQ, bytes(4)))[0]


class Adapter:
    """A USB serial adapter, and the board on it, in one of the guest's sockets."""

    def __init__(self, machine, name, serial):
        self.machine, self.name, self.serial = machine, name, serial
        self.board = None
        self.last = 1000  # the number it said last

    def plug(self, speaks=True):
        path = os.path.join(self.machine.dir, self.name)
        self.machine.qmp("chardev-add", id=self.name, backend={"type": "socket", "data": {
            "addr": {"type": "unix", "data": {"path": path}}, "server": True, "wait": False}})
        self.board = Board(path, self.last, speaks)
        self.board.start()
        at = time.monotonic()
        self.machine.qmp("device_add", driver="usb-serial", id=f"usb-{self.name}", chardev=self.name, bus="xhci.0",
                         serial=self.serial, **{"always-plugged": True})
        return at

    def pull(self, in_a_line=False):
        self.board.stop(in_a_line)
        self.last = self.board.n
        at = time.monotonic()
        self.machine.qmp("device_del", id=f"usb-{self.name}")
        self.machine.wait_event("DEVICE_DELETED", device=f"usb-{self.name}")
        self.board.socket.close()
        self.machine.qmp("chardev-remove", id=self.name)
        return at


class Readings:
    """What arrived of the board, with the time of arrival; and what its topic says of it."""

    def __init__(self):
        self.samples = []  # (time, n, copy)
        self.cards = []  # (time, object)

    def take(self, message):
        value = message.json()
        if "/data/" in message.topic:
            if "values" in value:
                self.samples.append((time.monotonic(), value["values"].get("n"), value["values"].get("copy")))
        else:
            self.cards.append((time.monotonic(), value))

    def first_after(self, at, n):
        """The first reading after that time with a number above n."""
        return next((sample for sample in list(self.samples) if sample[0] >= at and (sample[1] or 0) > n), None)

    def card_after(self, at, online, reason=None):
        return next((card for card in list(self.cards) if card[0] >= at and card[1]["online"] == online and
                     card[1].get("reason") == reason), None)


def slowness(machine):
    """How many times longer than this machine the guest takes for the same work."""
    megabytes = 64
    begin = time.monotonic()
    for _ in range(megabytes):
        hashlib.sha256(bytes(1 << 20)).digest()
    here = time.monotonic() - begin
    begin = time.monotonic()
    machine.run(f"head -c {megabytes}M /dev/zero | sha256sum")
    return (time.monotonic() - begin) / here


class Scene:
    def __init__(self, machine, readings, report):
        self.machine, self.readings, self.report = machine, readings, report
        self.ours = Adapter(machine, "ours", SERIAL)
        self.pulls = 0

    def comes(self, what):
        """Our adapter is plugged in: the device comes back, and readings with it."""
        before = self.ours.last
        at = self.ours.plug()
        try:
            self.machine.within(f"test -e {BY_ID}")
            linked = time.monotonic()
            card = wait_until(lambda: self.readings.card_after(at, True), vm.SLOW, "the device to be online")
            first = wait_until(lambda: self.readings.first_after(at, before), vm.SLOW, "a reading")
        except TimeoutError as late:
            self.report.check(f"{what}: readings come", False, str(late))
            self.report.say(self.machine.run("ls -l /dev/ttyUSB* /dev/serial/by-id; journalctl -u haywain -o cat; "
                                             "dmesg | tail -n 20", check=False)[1])
            return
        port = self.machine.run(f"readlink -f {BY_ID}").strip()
        self.report.check(f"{what}: readings come", True, f"{port}, online after {card[0] - at:.2f} s, the first reading "
                          f"after {first[0] - at:.2f} s; its name was seen within {linked - at:.2f} s")

    def goes(self, what):
        """Pulled in the middle of a line: the device is offline and says why."""
        wait_until(lambda: self.ours.board.lines > 3 * LINES_A_SECOND, vm.SLOW, "the board to go on for a while")
        at = self.ours.pull(in_a_line=True)
        self.pulls += 1
        self.offline(what, at, "unplugged")

    def offline(self, what, at, why):
        card = wait_until(lambda: self.readings.card_after(at, False, "offline"), vm.SLOW, "the device to be offline")
        self.machine.run("rm -f /root/diag.tar.gz; haywain diag /root/diag.tar.gz")
        links = json.loads(self.machine.run("tar -xzO --wildcards -f /root/diag.tar.gz '*links.json'"))["links"]
        link = next(link for link in links if link["name"] == "usb")
        self.report.check(f"{what}: offline, and why", link["state"] == "down" and why in (link["reason"] or ""),
                          (f"after {card[0] - at:.2f} s: " if at else "") + str(link["reason"]))

    def play(self):
        run, report = self.machine.run, self.report
        self.offline("nothing plugged in", 0, "is not there")
        self.comes("plugged in for the first time")
        mode = run(f"stat -L -c '%G %a' {BY_ID}").strip()
        report.check("the port belongs to dialout", mode == "dialout 660", mode)
        driver = run(f"basename $(readlink -f /sys/class/tty/$(basename $(readlink -f {BY_ID}))/device/driver)").strip()
        report.check("it is a real ftdi_sio", driver == "ftdi_sio", driver)
        setting = run(f"stty -a -F {BY_ID}")
        report.check("7 bits, even parity, 115200 baud", all(word in setting for word in ("115200", " cs7", "\nparenb", "-parodd")),
                     setting.splitlines()[0])
        for turn in range(1, 4):
            self.goes(f"pulled, {turn}")
            self.comes(f"plugged in again, {turn}")
        self.goes("pulled, 4")
        # Another one takes its place and its ttyUSB0: by the by-id path the daemon does not mistake it.
        other = Adapter(self.machine, "other", "B0000001")
        other.plug(speaks=False)
        self.machine.within("ls /dev/serial/by-id/*B0000001*")
        self.comes("plugged in beside another one")
        port = run(f"readlink -f {BY_ID}").strip()
        report.check("it has become another ttyUSB", port == "/dev/ttyUSB1", port)
        wait_until(lambda: self.ours.board.lines > 3 * LINES_A_SECOND, vm.SLOW, "the board to go on for a while")
        at = other.pull()
        last = self.ours.board.n
        wait_until(lambda: (self.readings.samples[-1][1] or 0) > last, vm.SLOW, "readings after the other one was pulled")
        report.check("the other one's going is nothing to it", not self.readings.card_after(at, False, "offline"))
        self.goes("pulled, 5")
        self.account()
        restarts = run("systemctl show -P NRestarts haywain").strip()
        report.check("one daemon all the time", restarts == "0", restarts)

    def account(self):
        """Nothing invented: each value is one that the board said, whole, and none came twice."""
        good = [(n, copy) for _, n, copy in self.readings.samples if n is not None or copy is not None]
        torn = [pair for pair in good if pair[0] != pair[1]]
        self.report.check("no reading was made of a torn line", not torn, str(torn[:5] or f"{len(good)} readings"))
        numbers = [n for n, _ in good]
        steps = [b - a for a, b in zip(numbers, numbers[1:])]
        self.report.check("each came once, in order, and was said by the board",
                          all(step > 0 for step in steps) and 1000 < numbers[0] and numbers[-1] <= self.ours.last)
        self.report.check("none is missing between plugging in and pulling", sum(step > 1 for step in steps) < self.pulls,
                          f"{sum(step > 1 for step in steps)} gaps, {self.pulls} pulls")


def hotplug(report):
    image = vm.image("gateway", package=vm.package(), modules=vm.GATEWAY_MODULES)
    work = tempfile.mkdtemp(prefix="haywain-hotplug-")
    broker = subscriber = None
    try:
        broker = Broker(os.path.join(work, "broker")).start()
        readings = Readings()
        subscriber = Subscriber(broker.port, ("haywain/plant/data/#", "haywain/plant/device/#"),
                                on_message=readings.take).start()
        with open(os.path.join(work, "haywain.conf"), "w", encoding="utf-8") as f:
            f.write(CONFIGURATION % broker.port)
        with vm.Machine(image, ["-device", "qemu-xhci,id=xhci"], share=work) as machine:
            report.say(f"booted in {machine.start():.0f} s")
            report.say(f"the guest takes {slowness(machine):.1f} times as long for its work as this machine")
            machine.mount_share()
            machine.run("cat /share/haywain.conf >/etc/haywain/haywain.conf && systemctl start haywain")
            Scene(machine, readings, report).play()
            machine.power_off()
    finally:
        if subscriber:
            subscriber.close()
        if broker:
            broker.close()
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    vm.Report().run(hotplug)
