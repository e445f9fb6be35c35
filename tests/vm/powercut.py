#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""make vm-powercut [ROUNDS=1]: the installed package in a guest whose power is cut again and again, its queue on a disk
that loses what was not flushed. The device, which numbers and times each reading, and the broker are outside and live
on. As root.

Then the same with a daemon whose flushes do nothing: it must be seen to lose what the other one keeps.
"""
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile

import vm  # first: it finds tests/peers

from broker import Broker
from mqtt import Account, Subscriber
from processes import spawn, stop, wait_until
from slave import ScriptedSlave

COMMIT_MS = 200  # queue.commit, as it comes
DISK_MB = 64
EVERY_MS = 20
CONFIGURATION = """gateway: {{ id = "{gateway}"; clock = "trust"; }};
self = false;
uplinks: ( {{ name = "cloud"; url = "mqtt://{host}:{broker}"; replay_rate = "{rate}/s"; }} );
links: ( {{ name = "bus"; plugin = "modbus"; url = "tcp://{host}:{slave}"; timeout = "5s"; }} );
devices: ( {{ name = "d1"; link = "bus"; unit = 1; every = "{every}ms";
    points: ( {{ name = "polls"; holding = 0; type = "uint32"; }} ); }} );
"""
DISK = ("-drive", "file=nbd+unix:///?socket={0},if=none,id=queue,format=raw", "-device", "virtio-blk-pci,drive=queue")
HERE = os.path.dirname(os.path.abspath(__file__))


class Gateway:
    """One gateway over its lives: its disk, and what its device and its broker know of it."""

    def __init__(self, name, work, image, nosync=False):
        self.name, self.work, self.nosync = name, work, nosync
        self.slave = ScriptedSlave()
        self.broker = Broker(os.path.join(work, name))
        self.account = Account()
        self.subscriber = None
        self.image_file = os.path.join(work, f"{name}.ext4")
        with open(self.image_file, "wb") as f:
            f.truncate(DISK_MB << 20)
        subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", self.image_file], check=True)
        self.share = os.path.join(work, f"{name}.share")
        os.mkdir(self.share)
        with open(os.path.join(self.share, "haywain.conf"), "w", encoding="utf-8") as f:
            f.write(CONFIGURATION.format(gateway=name, host=vm.HOST, broker=self.broker.port, slave=self.slave.port,
                                         every=EVERY_MS, rate=2 * 1000 // EVERY_MS))
        if nosync:
            subprocess.run(["cc", "-O2", "-fPIC", "-shared", "-o", os.path.join(self.share, "nosync.so"),
                            os.path.join(HERE, "nosync.c")], check=True)
        self.socket = os.path.join(work, f"{name}.nbd")
        self.machine = vm.Machine(image, [word.format(self.socket) for word in DISK], share=self.share)
        self.disk = None
        self.first = 0  # number of the first reading of this life

    def close(self):
        self.machine.close()
        stop(self.disk)
        if self.subscriber:
            self.subscriber.close()
        self.broker.close()
        self.slave.close()

    # ---- the broker ----

    def broker_comes(self):
        self.broker.start()
        if not self.subscriber:
            self.subscriber = Subscriber(self.broker.port, ("haywain/+/data/#",), on_message=self.account.take).start()

    def delivered(self):
        return set(self.account.counts("d1"))

    # ---- the device ----

    def taken(self):
        return len(self.slave.requests)

    def taken_at(self, number):
        """When the device was asked for the reading of this number."""
        return self.slave.requests[number - 1][0]

    def wait_taken(self, more, what="readings"):
        goal = self.taken() + more
        wait_until(lambda: self.taken() >= goal, vm.SLOW, what)

    # ---- the guest ----

    def boot(self):
        if os.path.exists(self.socket):
            os.unlink(self.socket)
        self.disk = spawn([sys.executable, os.path.join(HERE, "lossy_disk.py"), self.image_file, self.socket],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        wait_until(lambda: os.path.exists(self.socket), 60, "the disk")
        self.first = self.taken() + 1
        seconds = self.machine.start()
        run = self.machine.run
        self.machine.mount_share()
        run("mkdir -p /var/lib/haywain && mount /dev/vdb /var/lib/haywain")
        run("cat /share/haywain.conf >/etc/haywain/haywain.conf")
        if self.nosync:
            run("cp /share/nosync.so /usr/local/lib/ && mkdir -p /run/systemd/system/haywain.service.d && "
                "printf '[Service]\\nEnvironment=LD_PRELOAD=/usr/local/lib/nosync.so\\n' "
                ">/run/systemd/system/haywain.service.d/nosync.conf && systemctl daemon-reload")
        run("systemctl start haywain")
        wait_until(lambda: self.taken() > self.first, vm.SLOW, "the first reading")
        return seconds

    def queue_status(self):
        return json.loads(self.machine.run("haywain --json queue"))

    def set_aside(self):
        """Queue files that were put aside, ever, and what the daemon said of damage in this life."""
        return self.machine.run("ls /var/lib/haywain | grep -E 'damaged|newer|left'; "
                                "journalctl -u haywain -o cat | grep -iE 'damaged|set aside'; true").strip()

    def cut(self, flushes_left, percent, seed):
        """The power fails: what the disk says of it."""
        self.disk.stdin.write(f"{flushes_left} {percent} {seed}\n")
        self.disk.stdin.flush()
        answer = json.loads(self.disk.stdout.readline())
        self.machine.cut_power()
        stop(self.disk)
        return answer


class Cut:
    """One cut of power, to be judged when all that was kept has been delivered."""

    def __init__(self, gateway, what, at_flush, percent, seed):
        status = gateway.queue_status()
        chance = random.Random(seed)
        # a random moment of the rhythm in which commits go, and one of their flushes
        gateway.wait_taken(chance.randrange(COMMIT_MS // EVERY_MS))
        self.gateway = gateway
        self.what = f"{what}, cut {'before a flush' if at_flush else 'at any moment'}"
        self.disk = gateway.cut(chance.randrange(8) if at_flush else -1, percent, seed)
        self.at = self.disk["at"]
        self.numbers = range(gateway.first, gateway.taken() + 1)
        self.fsync_ms = status["fsync_max_ms"]

    def window_ms(self):
        return COMMIT_MS + 2 * self.fsync_ms

    def stall_ms(self):
        """The longest time for which this machine held up the guest: between two polls, beyond their period."""
        times = [self.gateway.taken_at(number) for number in self.numbers] + [self.at]
        return max(b - a for a, b in zip(times, times[1:])) * 1000 - EVERY_MS

    def lost(self):
        delivered = self.gateway.delivered()
        return [number for number in self.numbers if number not in delivered]

    def oldest_lost_ms(self):
        return max(((self.at - self.gateway.taken_at(number)) * 1000 for number in self.lost()), default=0)

    def line(self):
        return (f"{self.what}: {len(self.numbers)} taken, {len(self.lost())} lost, the oldest {self.oldest_lost_ms():.0f} ms "
                f"before the cut; window {COMMIT_MS} ms + 2 x {self.fsync_ms:.0f} ms = {self.window_ms():.0f} ms; the guest "
                f"stood still for up to {self.stall_ms():.0f} ms; of {self.disk['unflushed_sectors']} unflushed sectors "
                f"{self.disk['kept_sectors']} reached the disk")


def drain(gateway):
    """Until readings of this life arrive: they come behind all that was kept."""
    now = gateway.taken()
    wait_until(lambda: any(number > now for number in gateway.account.counts("d1")), vm.SLOW, "the queue to drain", 0.1)


def power_cuts(gateway, rounds, report):
    cuts = []

    def boot():
        report.say(f"booted in {gateway.boot():.0f} s; first reading is number {gateway.first}")

    def cut(what, at_flush, percent):
        cuts.append(Cut(gateway, what, at_flush, percent, seed=len(cuts)))

    for _ in range(rounds):
        for at_flush, percent in ((False, 0), (True, 0), (True, 50)):
            boot()
            gateway.wait_taken(300)
            cut("broker away", at_flush, percent)
        gateway.broker_comes()
        for at_flush, percent in ((False, 0), (True, 50)):
            boot()
            arrived = gateway.account.distinct()
            wait_until(lambda: gateway.account.distinct() > arrived + 150, vm.SLOW, "the backlog to begin to drain")
            cut("backlog draining", at_flush, percent)
        boot()
        drain(gateway)
        gateway.broker.stop()
        cut("broker just gone", True, 50)
    gateway.broker_comes()
    boot()
    drain(gateway)
    return cuts


def check_promise(gateway, cuts, report):
    aside = gateway.set_aside()
    report.check("no queue file was set aside", not aside, aside)
    dropped = gateway.queue_status()["dropped"]
    report.check("nothing was dropped", not any(dropped.values()), str(dropped))
    for cut in cuts:
        report.check("nothing older than the window is lost: " + cut.line(),
                     cut.oldest_lost_ms() <= cut.window_ms() + cut.stall_ms())
    samples = list(gateway.account.samples["d1"])
    numbers, meanings = {}, {}
    for sample in samples:
        if "polls" in sample["values"]:
            numbers.setdefault(sample["values"]["polls"], set()).add(sample["seq"])
            meanings.setdefault(sample["seq"], set()).add(sample["values"]["polls"])
    report.check("no reading came under two numbers", all(len(s) == 1 for s in numbers.values()))
    report.check("no number meant two readings", all(len(s) == 1 for s in meanings.values()))
    wrong = gateway.account.out_of_order("d1")
    report.check("all came in order", not wrong, str(wrong[:10] or ""))
    report.say(f"{len(numbers)} readings arrived, {gateway.account.twice()} of them again under their own number")


def check_control(gateway, report):
    gateway.boot()
    gateway.wait_taken(300)
    cut = Cut(gateway, "control, flushes do nothing", False, 0, 9)
    gateway.broker_comes()
    gateway.nosync = False
    gateway.boot()
    drain(gateway)
    report.check("a daemon that does not flush is seen to lose more: " + cut.line(),
                 cut.oldest_lost_ms() > cut.window_ms() + cut.stall_ms())


def powercut(report):
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    image = vm.image("gateway", package=vm.package(), modules=vm.GATEWAY_MODULES)
    work = tempfile.mkdtemp(prefix="haywain-powercut-")
    gateways = []
    try:
        for name, nosync in (("plant", False), ("control", True)):
            gateway = Gateway(name, work, image, nosync)
            gateways.append(gateway)
            with gateway.machine:
                if nosync:
                    check_control(gateway, report)
                else:
                    check_promise(gateway, power_cuts(gateway, rounds, report), report)
    finally:
        for gateway in gateways:
            gateway.close()
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    vm.Report().run(powercut)
