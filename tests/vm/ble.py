#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""make vm-ble: the installed package in a guest with real bluetoothd and virtual controllers that hear one another
(hci_vhci, btvirt). One is haywaind's; on the others a sensor advertises BTHome and serves GATT (peripheral.c): the one is
heard, the other connected to, for while it is connected to, the kernel does not let it advertise. The broker is outside.
bluetoothd dies, controllers are unplugged, rfkill blocks: one line each, and all comes back. As root.
"""
import os
import shutil
import subprocess
import tempfile

import vm  # first: it finds tests/peers

from broker import Broker
from mqtt import Subscriber
from processes import wait_until

PACKAGES = ("bluez", "bluez-test-tools", "rfkill")
# btvirt's cryptography comes from the kernel; what it has to wait for costs it the first commands of its controllers.
LOADED = ("hci_vhci", "af_alg", "algif_hash", "algif_skcipher", "ecb", "cmac")
MODULES = (*LOADED, "ecdh_generic", "drbg", "hmac", "sha256_generic", "ctr", "uhid")
CONFIGURATION = """gateway: {{ id = "plant"; clock = "trust"; }};
self = false;
uplinks: ( {{ name = "cloud"; url = "mqtt://{host}:{port}"; commands = true; }} );
links: ( {{ name = "air"; plugin = "ble"; scan = "{scan}"; }} );
devices: (
  {{ name = "shed"; link = "air"; address = "{shed}"; decode = "bthome"; interval = "0s"; }},
  {{ name = "tank"; link = "air"; address = "{tank}"; decode = "gatt"; every = "1s"; points: (
      {{ name = "read"; characteristic = "2a6e"; type = "int16"; scale = 0.01; access = "write"; }},
      {{ name = "notified"; characteristic = "2a6e"; mode = "notify"; }} ); }},
  {{ name = "absent"; link = "air"; address = "00:AA:01:07:00:07"; decode = "gatt"; every = "1s"; points: (
      {{ name = "t"; characteristic = "2a6e"; }} ); }}
);
"""
SENSORS = {"shed": "hci1", "tank": "hci2"}
HERE = os.path.dirname(os.path.abspath(__file__))
ADAPTER = "org.bluez /org/bluez/{0} org.bluez.Adapter1"


class Scene:
    def __init__(self, machine, share, port, subscriber, report):
        self.machine, self.run, self.share, self.port, self.report = machine, machine.run, share, port, report
        self.messages, self.publish = subscriber.messages, subscriber.publish
        self.addresses = {}

    # ---- the guest's parts ----

    def controllers(self):
        """bluetoothd comes after them: it may lose one that appears while it starts. The kernel gives a controller two
        seconds for its first answer, and on a slow machine btvirt is late: then once more."""
        self.run("systemctl mask --runtime -q --now bluetooth")
        for _ in range(5):
            self.run("systemctl stop -q controllers; systemd-run -q --unit=controllers --collect btvirt -L -l3", check=False)
            try:
                self.machine.within("[ $(hciconfig | grep -c 'BD Address: 00:AA') = 3 ]", 15)
                break
            except TimeoutError:
                self.report.say("not all controllers came up: once more")
        self.run("systemctl unmask --runtime -q bluetooth")
        self.bluetoothd()

    def bluetoothd(self):
        self.run("systemctl start bluetooth")
        for name in ("hci0", *SENSORS.values()):
            self.machine.within(f"busctl get-property {ADAPTER.format(name)} Address", 60)

    def sensors(self, *names):
        for name in names or SENSORS:
            adapter = SENSORS[name]
            self.run(f"systemctl stop -q {name}; busctl set-property {ADAPTER.format(adapter)} Powered b true && "
                     f"systemd-run -q --unit={name} --collect /share/peripheral /org/bluez/{adapter}")
            self.machine.within(f"journalctl -b _SYSTEMD_INVOCATION_ID=$(systemctl show -P InvocationID {name}) -o cat | "
                                "grep 'RegisterAdvertisement: done'", 60)

    def adapter_is(self, what, name="hci0"):
        return self.run(f"busctl get-property {ADAPTER.format(name)} {what}").split()[1].strip('"')

    def configure(self, scan="active", how="reload"):
        with open(os.path.join(self.share, "haywain.conf"), "w", encoding="utf-8") as f:
            f.write(CONFIGURATION.format(host=vm.HOST, port=self.port, scan=scan, **self.addresses))
        self.run(f"cat /share/haywain.conf >/etc/haywain/haywain.conf && systemctl {how} haywain")

    # ---- what haywaind makes of them ----

    def readings(self, device, point, since=0):
        samples = [m.json() for m in list(self.messages)[since:] if m.topic.endswith(f"/data/{device}")]
        return [s["values"][point] for s in samples if point in s["values"]]

    def now(self):
        return len(self.messages)

    def arrives(self, what, device, point, since, n=3, timeout=120):
        """n readings of a point after that moment; they differ, for the sensor changes what it says each second."""
        try:
            wait_until(lambda: len(set(self.readings(device, point, since))) >= n, timeout)
            good = True
        except TimeoutError:
            good = False
        self.report.check(f"{what}: {device}, {point}", good, str(self.readings(device, point, since)[:5]))

    def all_arrive(self, what, since):
        for device, point in (("shed", "temperature"), ("tank", "read"), ("tank", "notified")):
            self.arrives(what, device, point, since)

    def log(self, mark):
        return self.run(f"journalctl -b -u haywain -o cat --after-cursor='{mark}'")

    def mark(self):
        return self.run("journalctl -b -u haywain -n 0 --show-cursor").split("cursor: ")[1].strip()

    def said(self, what, words, mark, times=1):
        """In so many lines, and in no more."""
        self.machine.within(f"journalctl -b -u haywain -o cat --after-cursor='{mark}' | grep -qF '{words}'", 120)
        lines = [line for line in self.log(mark).splitlines() if words in line]
        self.report.check(f"{what}: it says so, once", len(lines) == times, "; ".join(lines))

    # ---- what happens ----

    def play(self):
        # Nothing is powered on by itself, and no cache of services goes on telling what was.
        self.run("printf '[Policy]\\nAutoEnable=false\\n[GATT]\\nCache=no\\n' >/etc/bluetooth/main.conf; modprobe -a " + " ".join(LOADED))
        self.controllers()
        self.addresses = {name: self.adapter_is("Address", adapter) for name, adapter in SENSORS.items()}
        self.sensors()
        self.report.check("haywaind's controller is off", self.adapter_is("Powered") == "false")
        since = self.now()
        self.configure(how="restart")
        pid = self.run("systemctl show -P MainPID haywain")
        self.all_arrive("from the air to the broker", since)
        self.report.check("haywaind powered it on", self.adapter_is("Powered") == "true")
        self.write()
        self.probe()
        self.bluetoothd_dies()
        self.controllers_go()
        self.passive()
        # Last: btvirt does not notice that a connection is gone then, and bluetoothd 5.66 may die of it later.
        self.rfkill()
        self.report.check("one daemon all the time", self.run("systemctl show -P MainPID haywain") == pid)
        absent = [m.json() for m in list(self.messages) if m.topic.endswith("/device/absent")]
        self.report.check("the device that was never there is offline, and held up nobody", absent and not absent[-1]["online"])

    def write(self):
        since = self.now()
        self.publish("haywain/plant/command/tank/read", "21.5")
        wait_until(lambda: 21.5 in self.readings("tank", "read", since), vm.SLOW, "what was written to be read")
        replies = [m.json() for m in list(self.messages)[since:] if "/reply/tank/read" in m.topic]
        self.report.check("a value is written, and read back from the sensor", bool(replies) and replies[0]["ok"], str(replies))
        self.sensors("tank")  # counts again

    def probe(self):
        shed, text = self.addresses["shed"], self.run("haywaind --probe ble hci0 5", check=False)[1]
        self.report.check("the probe lists it, beside the daemon",
                          f'address = "{shed}"; decode = "bthome";' in text, text.splitlines()[0] if text else "nothing")

    def bluetoothd_dies(self):
        mark = self.mark()
        self.run("systemctl kill -s KILL bluetooth")
        self.said("bluetoothd is killed", "bluetoothd is gone", mark)
        since = self.now()
        self.bluetoothd()
        self.sensors()
        self.all_arrive("after bluetoothd came back", since)

    def controllers_go(self):
        mark = self.mark()
        self.run("systemctl stop controllers")
        self.said("the controllers are unplugged", "adapter hci0 is gone", mark)
        since = self.now()
        self.controllers()
        self.sensors()
        self.all_arrive("after they were plugged in again", since)

    def rfkill(self):
        index = self.run("cat /sys/class/bluetooth/hci0/rfkill*/index").strip()
        mark = self.mark()
        self.run(f"rfkill block {index}")
        self.said("blocked by rfkill", "is blocked by rfkill", mark)
        since = self.now()
        self.run(f"rfkill unblock {index}")
        # Not the tank: btvirt knows no supervision timeout, its controller takes itself to be connected for ever.
        self.arrives("after it was unblocked", "shed", "temperature", since)

    def passive(self):
        mark, since = self.mark(), self.now()
        self.configure(scan="passive")
        self.said("passive scanning with a bluetoothd that does not offer it", "scanning actively", mark)
        self.arrives("then actively", "shed", "temperature", since)


def main():
    report = vm.Report()
    if os.geteuid() != 0:
        report.check("the Bluetooth test runs as root", False)
        report.end()
    image = vm.image("ble", package=vm.package(), packages=PACKAGES, modules=MODULES)
    work = tempfile.mkdtemp(prefix="haywain-ble-")
    broker = subscriber = None
    try:
        libsystemd = subprocess.run(["pkg-config", "--cflags", "--libs", "libsystemd"], check=True, text=True,
                                    stdout=subprocess.PIPE).stdout.split()
        subprocess.run(["cc", "-std=gnu17", "-O2", "-Wall", "-o", os.path.join(work, "peripheral"),
                        os.path.join(HERE, "peripheral.c"), *libsystemd], check=True)
        broker = Broker(os.path.join(work, "broker")).start()
        subscriber = Subscriber(broker.port, ("haywain/plant/#",)).start()
        with vm.Machine(image, share=work) as machine:
            report.say(f"booted in {machine.start():.0f} s")
            machine.mount_share()
            scene = Scene(machine, work, broker.port, subscriber, report)
            try:
                scene.play()
            except (RuntimeError, TimeoutError) as fault:
                report.check("the play goes to its end", False, str(fault))
            if report.failed:
                print(machine.run("journalctl -b -u haywain -u bluetooth -u shed -u tank -u controllers -o short-monotonic --no-pager | tail -n 150"))
            machine.power_off()
    finally:
        if subscriber:
            subscriber.close()
        if broker:
            broker.close()
        shutil.rmtree(work, ignore_errors=True)
    report.end()


if __name__ == "__main__":
    main()
