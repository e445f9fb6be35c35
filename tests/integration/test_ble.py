# SPDX-License-Identifier: Apache-2.0
"""Bluetooth: the daemon on a private bus with a mock of bluetoothd, its readings at a real broker."""
import json
import os
import random
import socket
import subprocess

import pytest

from bluez import BTHOME, Bluez
from conftest import DAEMON, configuration, uplink
from processes import wait_until

SENSOR = "A4:C1:38:00:00:01"
OTHER = "A4:C1:38:00:00:02"
KEY = "231d39c1d7cc1ab1aee224cd096db932"
KEYED = "54:48:E6:8F:80:A5"
ENCRYPTED = "41e445f3c9962b332211006c7c4519"  # the example of bthome.io/encryption, counter 1122867


def encrypt(data, counter, key=KEY, address=KEYED):
    from cryptography.hazmat.primitives.ciphers.aead import AESCCM
    nonce = bytes.fromhex(address.replace(":", "")) + b"\xd2\xfc\x41" + counter.to_bytes(4, "little")
    sealed = AESCCM(bytes.fromhex(key), tag_length=4).encrypt(nonce, bytes.fromhex(data), None)
    return (b"\x41" + sealed[:-4] + counter.to_bytes(4, "little") + sealed[-4:]).hex()


class Air:
    """bluetoothd, haywaind and a broker; what arrived is kept by device."""

    def __init__(self, plant, start=True):
        self.plant = plant
        self.bluez = Bluez(plant._path("bluez"))
        plant.defer(self.bluez.close)
        if start:
            self.bluez.start()
        self.broker = plant.broker()
        self.subscriber = plant.subscriber(self.broker)
        self.daemon = None

    def run(self, devices, link="", files=None):
        self.daemon = self.plant.haywain(DBUS_SYSTEM_BUS_ADDRESS=self.bluez.address)
        for name, text in (files or {}).items():
            with open(os.path.join(self.daemon.dir, name), "w", encoding="utf-8") as f:
                f.write(text)
        self.configure(devices, link)
        self.daemon.start()
        return self

    def configure(self, devices, link=""):
        self.daemon.configure(self.text(devices, link))

    def text(self, devices, link="", more_links=()):
        links = [f'  {{ name = "air"; plugin = "ble"; {link} }}', *more_links]
        return configuration([uplink(self.broker.port, more="commands = true;")], links,
                             [f'  {{ name = "{n}"; ' + ("" if "link = " in more else 'link = "air"; ') + f"{more} }}"
                              for n, more in devices.items()],
                             rest='self = false;\napi: { socket = "api.sock"; };\n')

    def scanning(self, times=1):
        wait_until(lambda: self.bluez.calls("StartDiscovery") >= times, 60, lambda: "discovery:\n" + self.daemon.text())
        return self

    def samples(self, device):
        return [m.json() for m in list(self.subscriber.messages) if m.topic.endswith(f"/data/{device}")]

    def card(self, device):
        cards = [m.json() for m in list(self.subscriber.messages) if m.topic.endswith(f"/device/{device}") and m.payload]
        return cards[-1] if cards else {}

    def wait(self, device, timeout=30, **values):
        def there():
            return next((s for s in self.samples(device)
                         if all(s.get("values", {}).get(k) == v for k, v in values.items())), None)
        return wait_until(there, timeout, lambda: f"{device} {values} in {self.samples(device)}\n{self.daemon.text()}")

    def wait_online(self, device, online, timeout=30):
        wait_until(lambda: self.card(device).get("online") is online, timeout,
                   lambda: f"{device} online={online}: {self.card(device)}\n{self.daemon.text()}")


@pytest.fixture
def air(plant):
    return Air(plant)


def test_values_become_points(air):
    air.run({"cellar": f'address = "{SENSOR}"; interval = "0s";', "tag": 'address = "CB:B8:33:4C:88:4F"; decode = "ruuvi";'}).scanning()
    air.bluez.bthome(SENSOR, "40000102c40903bf13", rssi=-63)
    sample = air.wait("cellar", temperature=25, humidity=50.55)
    assert sample["values"] == {"temperature": 25, "humidity": 50.55, "rssi": -63}
    points = air.card("cellar")["points"]
    assert points["temperature"]["unit"] == "°C" and points["humidity"]["unit"] == "%" and points["rssi"]["unit"] == "dBm"
    air.bluez.advertise("CB:B8:33:4C:88:4F", manufacturer={0x499: bytes.fromhex(
        "0512fc5394c37c0004fffc040cac364200cdcbb8334c884f")})
    air.wait("tag", temperature=24.3, pressure=1000.44)
    # A device nobody asked for leaves nothing.
    air.bluez.bthome(OTHER, "40000102c409")
    air.bluez.bthome(SENSOR, "40000202ca09")
    air.wait("cellar", temperature=25.06)
    assert len(air.samples("cellar")) == 2
    air.daemon.stop()


def test_points_rename_and_select(air):
    air.run({"cellar": f'''address = "{SENSOR}"; points: (
        {{ name = "t"; field = "temperature"; unit = "K"; offset = 273.15; }}, {{ name = "humidity"; type = "int16"; }},
        {{ name = "second"; field = "temperature_2"; }} );'''}).scanning()
    air.bluez.bthome(SENSOR, "400001016402c40902ca0903bf13")
    sample = air.wait("cellar", t=298.15)
    assert sample["values"] == {"t": 298.15, "humidity": 51, "second": 25.06}
    assert set(air.card("cellar")["points"]) == {"t", "humidity", "second"}


def test_repeats_are_told_once(air):
    air.run({"cellar": f'address = "{SENSOR}"; interval = "0s";', "button": f'address = "{OTHER}"; interval = "0s";'}).scanning()
    for _ in range(5):
        air.bluez.bthome(SENSOR, "40000702c409")
        air.bluez.bthome(OTHER, "4400073a01")
    air.bluez.bthome(SENSOR, "40000802c409")
    air.bluez.bthome(OTHER, "4400083a01")
    wait_until(lambda: len(air.samples("cellar")) >= 2 and len(air.samples("button")) >= 2, 30, "two samples each")
    air.bluez.bthome(SENSOR, "40000902ca09")
    air.wait("cellar", temperature=25.06)
    assert len(air.samples("cellar")) == 3
    assert [s["values"]["button"] for s in air.samples("button")] == ["press", "press"]


def test_key_replay_plain_and_wrong_key(air):
    air.run({"locked": f'address = "{KEYED}"; interval = "0s"; bindkey_file = "key";',
             "mistaken": f'address = "{KEYED}"; interval = "0s"; bindkey_file = "wrong"; lost_after = "1s";'},
            files={"key": KEY + "\n", "wrong": KEY[:-1] + "3\n"}).scanning()
    air.bluez.bthome(KEYED, ENCRYPTED)
    air.wait("locked", temperature=25.06)
    air.bluez.bthome(KEYED, encrypt("02d007", 1122900))
    air.wait("locked", temperature=20)
    # An older one again, and one that anybody could have made.
    air.bluez.bthome(KEYED, ENCRYPTED)
    air.daemon.wait_line("locked", "counter went back")
    air.bluez.bthome(KEYED, "4002b80b")
    air.daemon.wait_line("locked", "not encrypted")
    air.daemon.wait_line("mistaken", "another key")
    air.wait_online("mistaken", False)
    air.bluez.bthome(KEYED, encrypt("02e803", 1122901))
    air.wait("locked", temperature=10)
    assert [s["values"]["temperature"] for s in air.samples("locked")] == [25.06, 20, 10]
    assert not air.samples("mistaken")
    assert "b932" not in air.daemon.text()


def written(air):
    """Which file holds what was learnt: it is another one after each write."""
    path = os.path.join(air.daemon.dir, "learnt.json")
    return os.stat(path).st_ino if os.path.exists(path) else None


def test_counter_is_kept_over_a_restart(air):
    air.run({"locked": f'address = "{KEYED}"; interval = "0s"; bindkey_file = "key";'}, files={"key": KEY}).scanning()
    air.bluez.bthome(KEYED, encrypt("02d007", 1000))
    air.wait("locked", temperature=20)
    first = wait_until(lambda: written(air), 30, "the counter to be kept")
    for i in range(1, 51):
        air.bluez.bthome(KEYED, encrypt("02d107", 1000 + i))
    wait_until(lambda: len(air.samples("locked")) == 51, 30, lambda: len(air.samples("locked")))
    assert written(air) == first, "a write for each advertisement would wear the card out"
    air.daemon.stop()
    air.daemon.start()
    air.scanning(2)
    air.bluez.bthome(KEYED, encrypt("02e803", 1049))
    air.daemon.wait_line("locked", "counter went back")
    air.bluez.bthome(KEYED, encrypt("02d107", 1050))  # the last one once more: nothing new
    air.bluez.bthome(KEYED, encrypt("02b80b", 1051))
    air.wait("locked", temperature=30)
    assert len(air.samples("locked")) == 52
    # Killed, it has forgotten an hour at most.
    air.daemon.kill()
    air.daemon.start()
    air.scanning(3)
    air.bluez.bthome(KEYED, encrypt("02e803", 1049))
    air.daemon.wait_line("locked", "counter went back")
    # Another key counts for itself.
    air.daemon.stop()
    with open(os.path.join(air.daemon.dir, "key"), "w", encoding="ascii") as f:
        f.write(KEY[:-1] + "3")
    air.daemon.start()
    air.scanning(4)
    air.bluez.bthome(KEYED, encrypt("02c409", 7, key=KEY[:-1] + "3"))
    air.wait("locked", temperature=25)


def test_counter_begins_anew_with_a_new_battery(air):
    air.run({"locked": f'address = "{KEYED}"; interval = "0s"; bindkey_file = "key"; lost_after = "1s";'}, files={"key": KEY}).scanning()
    air.bluez.bthome(KEYED, encrypt("02d007", 1000))
    air.wait("locked", temperature=20)
    air.bluez.bthome(KEYED, encrypt("02e803", 300))
    air.daemon.wait_line("locked", "counter went back")
    air.wait_online("locked", False)
    air.bluez.bthome(KEYED, encrypt("02e803", 301))  # not so soon after a new battery
    air.daemon.wait_line("locked", "take the device out of the configuration, reload, put it back and reload")
    air.bluez.bthome(KEYED, encrypt("02c409", 4))
    air.wait("locked", temperature=25)
    air.daemon.wait_line("locked", "counts anew")
    assert [s["values"]["temperature"] for s in air.samples("locked") if s["values"]] == [20, 25]


def test_counter_is_forgotten_with_its_device(air):
    device = {"locked": f'address = "{KEYED}"; interval = "0s"; bindkey_file = "key";'}
    air.run(device, files={"key": KEY}).scanning()
    air.bluez.bthome(KEYED, encrypt("02d007", 1000))
    air.wait("locked", temperature=20)
    air.bluez.bthome(KEYED, encrypt("02e803", 500))
    air.daemon.wait_line("locked", "counter went back")
    wait_until(lambda: written(air), 30, "the counter to be kept")
    air.daemon.reload(air.text({}))
    air.daemon.wait_line("locked is not configured any more")
    air.daemon.reload(air.text(device))
    air.bluez.bthome(KEYED, encrypt("02c409", 501))
    air.wait("locked", temperature=25)


def test_interval_keeps_the_last_value(air):
    air.run({"door": f'address = "{SENSOR}"; interval = "2s"; points: ( {{ name = "window"; }}, {{ name = "button"; }}, {{ name = "text"; }} );'}).scanning()
    air.bluez.bthome(SENSOR, "4000012d01")
    air.wait("door", window=True)
    for packet, state in ((2, 0), (3, 1), (4, 0)):  # opened and closed within the interval: closed is what counts
        air.bluez.bthome(SENSOR, f"4000{packet:02x}2d{state:02x}5302{0x60 + packet:02x}00")
    air.wait("door", window=False)
    first, last = air.samples("door")
    assert last["values"]["text"].startswith("d") and 0 < last["ts"] - first["ts"] < 1900, "with its own time"
    # An event waits for nothing, and what is held goes before it.
    air.bluez.bthome(SENSOR, "4000052d01")
    air.bluez.bthome(SENSOR, "4400063a01")
    air.wait("door", button="press")
    assert [s["values"] for s in air.samples("door")[2:]] == [{"window": True}, {"button": "press"}]
    air.daemon.stop()


def test_lost_and_found(air):
    air.run({"cellar": f'address = "{SENSOR}"; lost_after = "1s"; interval = "0s";'}).scanning()
    air.bluez.bthome(SENSOR, "40000102c409")
    air.wait_online("cellar", True)
    air.wait_online("cellar", False)
    air.daemon.wait_line("cellar", "offline: not heard for 1 s")
    air.bluez.bthome(SENSOR, "40000202ca09")
    air.wait_online("cellar", True)
    air.wait("cellar", temperature=25.06)


def test_changing_addresses(air):
    irk = "ec0234a357c8ad05341010a60a397d9b"
    air.run({"named": 'match_name = "shed"; interval = "0s";', "phone": 'irk_file = "irk"; interval = "0s"; decode = "ibeacon";'},
            files={"irk": irk}).scanning()
    air.bluez.bthome("C0:00:00:00:00:11", "40000102c409", name="shed")
    air.wait("named", temperature=25)
    air.bluez.bthome("C0:00:00:00:00:11", "40000202ca09")  # later ones come without the name
    air.wait("named", temperature=25.06)
    beacon = {0x4C: bytes.fromhex("0215e2c56db5dffb48d2b060d0f5a71096e000010002c5")}
    air.bluez.advertise("70:81:94:0D:FB:AB", manufacturer=beacon, rssi=-90)  # somebody else's
    air.bluez.advertise("70:81:94:0D:FB:AA", manufacturer=beacon, rssi=-50)
    sample = air.wait("phone", major=1)
    assert sample["values"]["rssi"] == -50 and sample["values"]["uuid"].startswith("e2c56db5")
    assert len(air.samples("phone")) == 1


def test_bluetoothd_dies_and_comes_back(air):
    air.run({"cellar": f'address = "{SENSOR}"; interval = "0s";'}).scanning()
    air.bluez.bthome(SENSOR, "40000102c409")
    air.wait_online("cellar", True)
    air.bluez.kill()
    air.daemon.wait_line("bluetoothd is gone")
    air.wait_online("cellar", False)
    air.bluez.start()
    air.scanning()
    air.bluez.bthome(SENSOR, "40000202ca09")
    air.wait("cellar", temperature=25.06)
    assert sum("down:" in line for _, line in air.daemon.log.lines) == 1


def test_adapter_removed_off_and_blocked(air):
    air.run({"cellar": f'address = "{SENSOR}"; interval = "0s";'}).scanning()
    air.bluez.drop_adapter()
    air.daemon.wait_line("adapter hci0 is gone")
    air.bluez.add_adapter("hci0")
    air.scanning(2)
    air.bluez.power(False)
    air.daemon.wait_line("hci0 was powered off")
    air.bluez.power(True)
    air.scanning(3)
    air.bluez.bthome(SENSOR, "40000102c409")
    air.wait("cellar", temperature=25)


@pytest.mark.parametrize("tells", (True, False))
def test_blocked_by_rfkill(air, tells):
    air.bluez.block(True, tells=tells)
    air.run({"cellar": f'address = "{SENSOR}"; interval = "0s";'})
    air.daemon.wait_line("adapter hci0 is blocked by rfkill (rfkill unblock bluetooth)")
    air.bluez.block(False, tells=tells)  # still off: haywaind powers it on
    air.scanning()
    air.bluez.bthome(SENSOR, "40000102c409")
    air.wait("cellar", temperature=25)
    start = len(air.daemon.log.lines)
    air.bluez.block(True, tells=tells)
    air.daemon.wait_line("blocked by rfkill", start=start)
    air.bluez.block(False, tells=tells)
    air.scanning(2)
    air.bluez.bthome(SENSOR, "40000202ca09")
    air.wait("cellar", temperature=25.06)
    assert sum("blocked" in line for _, line in air.daemon.log.lines) == 2


def test_adapters_live_for_themselves(air):
    air.bluez.add_adapter("hci1")
    air.run({})
    air.daemon.reload(air.text(
        {"near": f'address = "{SENSOR}"; interval = "0s";', "far": f'link = "barn"; address = "{SENSOR}"; interval = "0s";',
         "same": f'link = "second"; address = "{OTHER}"; interval = "0s";'},
        more_links=['  { name = "barn"; plugin = "ble"; adapter = "hci1"; }', '  { name = "second"; plugin = "ble"; }']))
    far = "/org/bluez/hci1"
    wait_until(lambda: air.bluez.calls("StartDiscovery") >= 2 and air.bluez.calls("StartDiscovery", far) >= 1, 60, air.daemon.text)
    air.bluez.bthome(SENSOR, "40000102c409")
    air.bluez.bthome(SENSOR, "40000102d007", adapter="hci1")
    air.bluez.bthome(OTHER, "40000102e803")
    air.wait("near", temperature=25)
    air.wait("far", temperature=20)
    air.wait("same", temperature=10)
    air.bluez.drop_adapter("hci1")
    air.daemon.wait_line("barn", "adapter hci1 is gone")
    air.wait_online("far", False)
    air.bluez.bthome(SENSOR, "40000202ca09")
    air.wait("near", temperature=25.06)
    assert air.card("near")["online"] and air.card("same")["online"]
    air.bluez.add_adapter("hci1")
    wait_until(lambda: air.bluez.calls("StartDiscovery", far) >= 2, 60, air.daemon.text)
    air.bluez.bthome(SENSOR, "40000202d107", adapter="hci1")
    air.wait("far", temperature=20.01)
    assert [len(air.samples(name)) for name in ("near", "same")] == [2, 1]


def test_no_bus_no_bluetoothd_no_adapter(plant):
    air = Air(plant, start=False)
    air.run({"cellar": f'address = "{SENSOR}";'})
    air.daemon.wait_line("no system bus")
    air.bluez.start(adapters=())
    air.bluez.add_adapter("hci0", powered=False)
    air.scanning()  # found, and powered on
    air.bluez.bthome(SENSOR, "40000102c409")
    air.wait("cellar", temperature=25)


def test_discovery_is_refused_then_granted(air):
    air.bluez.fault("StartDiscovery", "org.bluez.Error.NotReady", "Resource Not Ready")
    air.run({"cellar": f'address = "{SENSOR}";'})
    air.daemon.wait_line("does not start scanning", "Resource Not Ready")
    air.scanning(2)


def test_discovery_goes_on_for_somebody_who_is_gone(air):
    air.bluez.fault("StartDiscovery", "org.bluez.Error.InProgress", "Operation already in progress", times=2)
    air.run({"cellar": f'address = "{SENSOR}";'})
    air.scanning(3)  # until it is granted
    air.bluez.bthome(SENSOR, "40000102c409")
    air.wait("cellar", temperature=25)


def test_stall_starts_again(air):
    air.run({"cellar": f'address = "{SENSOR}";'}, link='stall = "1s";').scanning()
    air.daemon.wait_line("no advertisement", "starting the scan again")
    air.scanning(2)
    air.daemon.wait_line("no advertisement", "powering the adapter off")


def test_passive_and_its_fallback(air):
    air.run({"cellar": f'address = "{SENSOR}"; interval = "0s";'}, link='scan = "passive"; stall = "1s";')
    wait_until(lambda: air.bluez.monitors() == 1, 30, lambda: air.daemon.text())
    assert air.bluez.calls("StartDiscovery") == 0
    air.bluez.bthome(SENSOR, "40000102c409")
    air.wait("cellar", temperature=25)
    air.daemon.wait_line("passive scanning hears nothing")
    air.scanning()


def test_malformed_of_every_length(air):
    air.run({"cellar": f'address = "{SENSOR}"; interval = "0s";', "raw": f'address = "{OTHER}"; decode = "raw"; interval = "0s";'}).scanning()
    noise = random.Random(1)
    for service in (BTHOME, "fe95", "181a", "feaa", "fd3d", "180f"):
        for length in range(0, 64):
            air.bluez.advertise(SENSOR, {service: noise.randbytes(length)})
    for company in (0x499, 0x4C, 0xEC88, 1, 0x8801):
        for length in range(0, 40):
            air.bluez.advertise(SENSOR, manufacturer={company: noise.randbytes(length)})
            air.bluez.advertise(OTHER, manufacturer={company: noise.randbytes(length)})
    air.bluez.bthome(SENSOR, "40000102ca0903bf13")
    air.wait("cellar", timeout=60, temperature=25.06, humidity=50.55)
    air.daemon.stop()


def test_nonsense_on_the_bus(air):
    air.bluez.answer_nonsense()
    air.run({"cellar": f'address = "{SENSOR}"; interval = "0s";', "raw": f'address = "{OTHER}"; decode = "raw"; interval = "0s";'})
    air.daemon.wait_line("bluetoothd's answer makes no sense")
    air.scanning()
    for address in (SENSOR, OTHER, "AA:BB:CC:DD:EE:FF"):
        air.bluez.say_nonsense(address)
    air.daemon.wait_line("bluetoothd", "makes no sense", "ignored")
    air.bluez.bthome(SENSOR, "4000015303fffe20")  # text that is no UTF-8
    air.bluez.bthome(SENSOR, "40000202ca09")
    air.wait("cellar", temperature=25.06)
    assert sum("makes no sense" in line and "ignored" in line for _, line in air.daemon.log.lines) == 1
    air.daemon.stop()


def gatt(air, points, more='every = "100ms";'):
    air.bluez.advertise(SENSOR, name="probe")
    air.bluez.add_service(SENSOR, "service000a", "181a")
    air.bluez.add_characteristic(SENSOR, "service000a/char000b", "2a6e", "ca09")
    air.bluez.add_characteristic(SENSOR, "service000a/char000d", "2a6f", "bf13")
    air.bluez.add_service(SENSOR, "service0010", "180f")
    air.bluez.add_characteristic(SENSOR, "service0010/char0011", "2a19", "5f")
    air.bluez.add_characteristic(SENSOR, "service0010/char0013", "12345678-1234-1234-1234-123456789abc", "0102030405")
    air.run({"probe": f'address = "{SENSOR}"; decode = "gatt"; {more} points: ( {points} );'}).scanning()


def test_gatt_reads(air):
    gatt(air, '''{ name = "temperature"; characteristic = "2a6e"; }, { name = "battery"; service = "180f"; characteristic = "2a19"; },
                 { name = "word"; characteristic = "12345678-1234-1234-1234-123456789abc"; at = 1; type = "uint16"; order = "AB"; },
                 { name = "all"; characteristic = "12345678-1234-1234-1234-123456789abc"; type = "bytes"; }''')
    sample = air.wait("probe", temperature=25.06)
    assert sample["values"] == {"temperature": 25.06, "battery": 95, "word": 0x0203, "all": "AQIDBAU="}
    assert air.card("probe")["points"]["temperature"]["unit"] == "°C"
    # one point is refused: the others go on
    path = air.bluez.path(SENSOR) + "/service0010/char0011"
    air.bluez.fault("ReadValue", "org.bluez.Error.NotAuthorized", "Not authorized", path=path)
    wait_until(lambda: any(s.get("quality", {}).get("battery") == "bad: not authorized" for s in air.samples("probe")), 30,
               lambda: air.samples("probe")[-3:])
    air.daemon.wait_line("pair once with bluetoothctl")
    air.bluez.lose(SENSOR)
    n = len(air.samples("probe"))
    wait_until(lambda: len(air.samples("probe")) > n + 3, 60, lambda: air.daemon.text())


def test_gatt_one_characteristic_that_fails_takes_no_other(air):
    """A read that the device refuses with an error of its own, or that ends the connection; and one that is not there."""
    gatt(air, '''{ name = "gone"; characteristic = "2a00"; }, { name = "battery"; service = "180f"; characteristic = "2a19"; },
                 { name = "temperature"; characteristic = "2a6e"; }, { name = "humidity"; characteristic = "2a6f"; }''')
    sample = air.wait("probe", temperature=25.06)
    assert sample["quality"] == {"gone": "bad: no such characteristic"}
    assert sample["values"]["battery"] == 95
    air.daemon.wait_line("it has no characteristic 2a00")
    path = air.bluez.path(SENSOR) + "/service000a/char000b"
    air.bluez.fault("ReadValue", "org.bluez.Error.Failed", "Operation failed with ATT error: 0x0e", times=100000, path=path)
    wait_until(lambda: air.samples("probe")[-1].get("quality", {}).get("temperature") == "bad: Operation failed with ATT error: 0x0e",
               30, lambda: air.samples("probe")[-3:])
    assert air.samples("probe")[-1]["values"]["battery"] == 95
    air.bluez.fault("ReadValue", "org.bluez.Error.Failed", "Operation failed", times=100000, path=path)
    n = len(air.samples("probe"))
    wait_until(lambda: len([s for s in air.samples("probe")[n:] if "humidity" in s.get("values", {})]) >= 5, 60,
               lambda: air.samples("probe")[n:])
    assert air.card("probe")["online"] is True
    assert "temperature" not in air.samples("probe")[-1]["values"]


def test_gatt_notifies_and_reconnects(air):
    gatt(air, '{ name = "temperature"; characteristic = "2a6e"; mode = "notify"; }')
    air.wait_online("probe", True)
    start = air.bluez.path(SENSOR) + "/service000a/char000b"
    wait_until(lambda: air.bluez.calls("StartNotify", start) == 1, 30, "StartNotify")
    air.bluez.notify(SENSOR, "service000a/char000b", "d007")
    air.wait("probe", temperature=20)
    air.bluez.lose(SENSOR)
    air.wait_online("probe", False)
    wait_until(lambda: air.bluez.calls("StartNotify", start) == 2, 60, "StartNotify after the loss")
    air.bluez.notify(SENSOR, "service000a/char000b", "e803")
    air.wait("probe", temperature=10)
    assert len(air.samples("probe")) - sum("quality" in s for s in air.samples("probe")) == 2


def test_gatt_in_turn_where_one_connection_is_all(air):
    air.bluez.limit(1)
    addresses = {f"probe{i}": f"C0:FF:EE:00:00:0{i}" for i in range(3)}
    for i, address in enumerate(addresses.values()):
        air.bluez.advertise(address)
        air.bluez.add_service(address, "service000a", "181a")
        air.bluez.add_characteristic(address, "service000a/char000b", "2a6e", f"0{i}0a")
        air.bluez.fault("Disconnect", delay_ms=300, times=9, path=air.bluez.path(address))  # bluetoothd takes 2 s
    air.run({name: f'address = "{address}"; decode = "gatt"; every = "1h"; points: ( {{ name = "t"; characteristic = "2a6e"; '
                   'type = "int16"; scale = 0.01; access = "write"; } );' for name, address in addresses.items()}).scanning()
    client = air.plant.subscriber(air.broker)
    for i, name in enumerate(addresses):
        client.publish(f"haywain/plant/command/{name}/t", str(21 + i))
    for i, (name, address) in enumerate(addresses.items()):
        wait_until(lambda: air.bluez.value(address, "service000a/char000b") == (2100 + 100 * i).to_bytes(2, "little").hex(),
                   30, air.daemon.text)
    assert air.bluez.limited() == 0, "one was connected before the other was let go"


def test_gatt_writes(air):
    gatt(air, '{ name = "setpoint"; characteristic = "2a6e"; type = "int16"; scale = 0.01; access = "write"; }')
    air.wait("probe", setpoint=25.06)
    with socket.socket(socket.AF_UNIX) as api:
        api.settimeout(30)
        api.connect(os.path.join(air.daemon.dir, "api.sock"))
        api.sendall(b"POST /v1/devices/probe/points/setpoint HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                    b"Connection: close\r\nContent-Length: 15\r\n\r\n{\"value\": 21.5}")
        assert b" 200 " in api.recv(4096).split(b"\r\n")[0]
    assert air.bluez.value(SENSOR, "service000a/char000b") == "6608"
    air.wait("probe", setpoint=21.5)


def test_a_gatt_write_is_called_once_and_told_as_what_it_is(air):
    """A connection that broke in the middle of a write was told like a refusal, and a caller repeated what was done."""
    gatt(air, '{ name = "setpoint"; characteristic = "2a6e"; type = "int16"; scale = 0.01; access = "write"; }')
    air.wait("probe", setpoint=25.06)
    path = air.bluez.path(SENSOR) + "/service000a/char000b"

    def write(value, meanwhile=None):
        with socket.socket(socket.AF_UNIX) as api:
            api.settimeout(30)
            api.connect(os.path.join(air.daemon.dir, "api.sock"))
            body = json.dumps({"value": value})
            api.sendall(f"POST /v1/devices/probe/points/setpoint HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                        f"Connection: close\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
            if meanwhile:
                meanwhile()
            answer = b"".join(iter(lambda: api.recv(4096), b""))
        head, body = answer.split(b"\r\n\r\n", 1)
        return int(head.split()[1]), json.loads(body)

    def lose():
        wait_until(lambda: air.bluez.calls("WriteValue", path) == calls + 1, what="the write")
        air.bluez.lose(SENSOR)

    for name, message, status, done in (("org.bluez.Error.NotPermitted", "Write not permitted", 502, "no"),
                                        ("org.bluez.Error.Failed", "Operation failed with ATT error: 0x80", 502, "no"),
                                        ("org.bluez.Error.Failed", "Operation failed", 504, "unknown"),
                                        ("org.freedesktop.DBus.Error.NoReply", "no reply", 504, "unknown")):
        calls = air.bluez.calls("WriteValue", path)
        air.bluez.fault("WriteValue", name, message, path=path)
        got, answer = write(30)
        assert (got, answer["done"]) == (status, done), answer
        assert air.bluez.calls("WriteValue", path) == calls + 1
    calls = air.bluez.calls("WriteValue", path)
    air.bluez.fault("WriteValue", delay_ms=-1, path=path)
    status, answer = write(31, lose)
    assert (status, answer["done"]) == (504, "unknown") and "lost" in answer["error"], answer
    assert write(32) == (200, {"ok": True, "done": "yes", "value": 32, "read_back": False})
    assert air.bluez.calls("WriteValue", path) == calls + 2, "a write was called again"


def test_gatt_that_is_not_there(air):
    air.run({"probe": f'address = "{SENSOR}"; decode = "gatt"; every = "100ms"; points: ( {{ name = "t"; characteristic = "2a6e"; }} );'}).scanning()
    air.wait_online("probe", False)
    air.daemon.stop()


def test_configuration(air):
    air.run({"good": f'address = "{SENSOR}";'})
    air.configure({"none": "", "bad": 'address = "A4:C1";', "keyless": f'address = "{SENSOR}"; points: ( {{ name = "warmth"; }} );',
                   "gatt": f'address = "{SENSOR}"; decode = "gatt"; points: ( {{ name = "x"; }}, {{ name = "y"; characteristic = "zz"; }} );'})
    status, text = air.daemon.check()
    assert status == 1
    for words in ("a device needs `address`", 'right would be "A4:C1:38:00:00:01"', 'no decoder has a value "warmth"',
                  "needs `characteristic`", '"zz" is no UUID'):
        assert words in text, text


def test_probe(air):
    air.bluez.bthome(SENSOR, "400001016402c409", name="cellar", rssi=-48)
    air.bluez.bthome(KEYED, ENCRYPTED, rssi=-70)
    air.bluez.advertise(OTHER, rssi=-80)
    environment = air.plant.haywain(DBUS_SYSTEM_BUS_ADDRESS=air.bluez.address).environ()
    done = subprocess.run([DAEMON, "--probe", "ble", "hci0", "1"], env=environment, text=True, timeout=60, check=False,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout
    assert "3 devices heard" in done.stdout
    assert "battery 100 %, temperature 25 °C" in done.stdout
    assert f'address = "{SENSOR}"; decode = "bthome";' in done.stdout
    assert "it needs bindkey_file" in done.stdout
