# SPDX-License-Identifier: Apache-2.0
"""A bus of the test's own with the mock of bluetoothd on it."""
import os
import signal
import socket
import subprocess

from processes import spawn, stop, wait_until

PEERS = os.path.dirname(os.path.abspath(__file__))
CONFIGURATION = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path={socket}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
"""
BTHOME = "fcd2"


def full(uuid):
    return f"0000{uuid}-0000-1000-8000-00805f9b34fb" if len(uuid) == 4 else uuid


class Bluez:
    def __init__(self, directory):
        self.dir = directory
        self.socket = os.path.join(directory, "bus")
        self.address = f"unix:path={self.socket}"
        self.daemon = self.mock = None
        self._connection = None

    def start_bus(self):
        file = os.path.join(self.dir, "bus.conf")
        with open(file, "w", encoding="utf-8") as f:
            f.write(CONFIGURATION.format(socket=self.socket))
        self.daemon = spawn(["dbus-daemon", f"--config-file={file}", "--nofork", "--nopidfile"],
                            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(self._listens, 20, "the bus")
        return self

    def _listens(self):
        with socket.socket(socket.AF_UNIX) as s:
            return s.connect_ex(self.socket) == 0

    def stop_bus(self):
        stop(self.daemon, signal.SIGKILL)
        self.daemon = self._connection = None
        os.unlink(self.socket)

    def start(self, adapters=("hci0",), powered=True):
        if not self.daemon:
            self.start_bus()
        self.mock = spawn(["/usr/bin/python3", "-m", "dbusmock", "--system", "-t", os.path.join(PEERS, "bluez_mock.py")],
                          env={**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": self.address}, stdin=subprocess.DEVNULL,
                          stdout=subprocess.DEVNULL, stderr=open(os.path.join(self.dir, "mock.log"), "ab"))
        wait_until(self._answers, 30, "the mock of bluetoothd")
        for adapter in adapters:
            self.add_adapter(adapter, powered)
        return self

    def _bus(self):
        import dbus.bus
        if not self._connection:
            self._connection = dbus.bus.BusConnection(self.address)
        return self._connection

    def _answers(self):
        return self._bus().name_has_owner("org.bluez")

    def _call(self, method, signature, *arguments):
        return self._bus().call_blocking("org.bluez", "/", "org.bluez.Mock", method, signature, arguments, timeout=60)

    def kill(self):
        """bluetoothd dies."""
        stop(self.mock, signal.SIGKILL)

    def close(self):
        for process in (self.mock, self.daemon):
            if process:
                stop(process, signal.SIGKILL)

    # ---- adapters ----

    def add_adapter(self, name, powered=True):
        self._call("AddHaywainAdapter", "sb", name, powered)

    def drop_adapter(self, name="hci0"):
        self._call("DropAdapter", "s", name)

    def power(self, on, name="hci0"):
        self._call("Power", "sb", name, on)

    def block(self, on, name="hci0", tells=True):
        """By rfkill. tells: a bluetoothd that has PowerState."""
        self._call("Block", "sbb", name, on, tells)

    def answer_nonsense(self):
        self._call("AnswerNonsense", "")

    def say_nonsense(self, address, adapter="hci0"):
        self._call("SayNonsense", "ss", adapter, address)

    def calls(self, method, path="/org/bluez/hci0"):
        return int(self._call("Calls", "os", path, method))

    def fault(self, method, name="", message="", delay_ms=0, times=1, path="/org/bluez/hci0"):
        self._call("Fault", "osssiu", path, method, name, message, delay_ms, times)

    def monitors(self):
        return int(self._call("Monitors", ""))

    # ---- in the air ----

    def advertise(self, address, service=None, manufacturer=None, name=None, rssi=-60, adapter="hci0"):
        """service and manufacturer: {uuid: bytes}, {company: bytes}."""
        import dbus
        properties = {}
        if rssi is not None:
            properties["RSSI"] = dbus.Int16(rssi)
        if name:
            properties["Name"] = name
        if service:
            properties["ServiceData"] = dbus.Dictionary(
                {full(u): dbus.Array(d, signature="y", variant_level=1) for u, d in service.items()}, signature="sv")
        if manufacturer:
            properties["ManufacturerData"] = dbus.Dictionary(
                {dbus.UInt16(c): dbus.Array(d, signature="y", variant_level=1) for c, d in manufacturer.items()},
                signature="qv")
        self._call("Advertise", "ssa{sv}", adapter, address, properties)

    def bthome(self, address, data, **more):
        self.advertise(address, {BTHOME: bytes.fromhex(data)}, **more)

    def flood(self, per_second, seconds, addresses, adapter="hci0"):
        """Begins; addresses C0:00:00:00:00:00 and on."""
        self._call("Flood", "suuu", adapter, per_second, seconds, addresses)

    def flooded(self):
        """How many it was so far."""
        return self.calls("sent", "/flood")

    # ---- GATT ----

    @staticmethod
    def path(address, adapter="hci0"):
        return f"/org/bluez/{adapter}/dev_" + address.replace(":", "_")

    def add_service(self, address, name, uuid):
        self._call("AddService", "oss", self.path(address), name, full(uuid))

    def add_characteristic(self, address, place, uuid, value, flags=("read", "write", "notify")):
        service, name = place.split("/")
        self._call("AddCharacteristic", "ossasay", f"{self.path(address)}/{service}", name, full(uuid), list(flags),
                   bytes.fromhex(value))

    def notify(self, address, place, value):
        self._call("Notify", "oay", f"{self.path(address)}/{place}", bytes.fromhex(value))

    def value(self, address, place):
        return bytes(self._call("ValueOf", "o", f"{self.path(address)}/{place}")).hex()

    def limit(self, connections):
        self._call("Limit", "u", connections)

    def limited(self):
        """How often a connection was refused for it."""
        return self.calls("", "/limit")

    def lose(self, address):
        self._call("Lose", "o", self.path(address))
