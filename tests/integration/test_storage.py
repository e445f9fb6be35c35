# SPDX-License-Identifier: Apache-2.0
"""The queue's disk: full, damaged, and the clock that is wrong."""
import os
import subprocess
import time

import pytest
from conftest import ASAN, PEERS, configuration, device, link, uplink, wait_complete
from processes import wait_until
from test_api import get



def outage(plant, polls=200, **more):
    """A daemon with that many samples on disk and its broker away. Gives broker, account, slave, daemon."""
    broker = plant.broker()
    account = plant.account(broker)
    slave = plant.slave()
    daemon = plant.haywain(configuration([uplink(broker.port)], [link(slave.port)], [device(every="10ms")], **more))
    wait_complete(account, "d1", 5)
    broker.stop()
    begin = slave.counters[1]
    wait_until(lambda: slave.counters[1] > begin + polls, what="polls during the outage")
    return broker, account, slave, daemon


def damaged_names(daemon):
    return [n for n in os.listdir(daemon.dir) if ".damaged-" in n]


def numbers_stay_unique(account):
    meaning = {}
    for sample in account.samples["d1"]:
        assert meaning.setdefault(sample["seq"], sample["values"].get("polls")) == sample["values"].get("polls")


def drops_told(plant, broker):
    return plant.subscriber(broker, ("haywain/plant/event",), client_id="events")


@pytest.mark.parametrize("damage", ["cut header", "zeroed page", "flipped bits", "garbage", "empty"])
def test_a_damaged_file_never_stops_the_gateway(plant, damage):
    broker, account, slave, daemon = outage(plant, 1500 if damage in ("zeroed page", "flipped bits") else 200)
    daemon.stop()
    end = slave.counters[1]
    size = os.path.getsize(daemon.queue)
    # Where the disk was too slow for a clean end the log is still there, and would heal the file.
    if os.path.exists(daemon.queue + "-wal"):
        os.remove(daemon.queue + "-wal")
    with open(daemon.queue, "r+b") as f:
        if damage == "cut header":
            f.write(b"\0" * 100)
        elif damage == "zeroed page":
            f.seek(size // 2 // 4096 * 4096)
            f.write(b"\0" * 4096)
        elif damage == "flipped bits":
            for part in (5, 6, 7):
                at = size * part // 8 + 1234
                f.seek(at)
                byte = f.read(1)
                f.seek(at)
                f.write(bytes([byte[0] ^ 0x10]))
        elif damage == "garbage":
            f.write(os.urandom(size))
        else:
            f.truncate(0)
    daemon.start()
    broker.start()
    wait_until(lambda: slave.counters[1] > end + 50, what="polling to go on")
    after = slave.counters[1]
    wait_until(lambda: set(range(end + 2, after + 1)) <= set(account.counts("d1")), 60, "all that was taken since", 0.05)
    numbers_stay_unique(account)
    assert account.out_of_order("d1") == []
    got = set(account.counts("d1"))
    lost = set(range(1, end)) - got
    if damage in ("cut header", "garbage"):
        assert damaged_names(daemon), "the damaged file is kept"
        assert daemon.said("damaged")
    elif damage in ("zeroed page", "flipped bits"):
        assert len(lost) < 400, f"{len(lost)} of {end} lost by a small wound"
        if lost:
            assert daemon.said("damaged") or daemon.said("lost"), daemon.text()


def test_disk_full_on_a_small_tmpfs(plant):
    if os.geteuid() != 0:
        pytest.fail("this test mounts a tmpfs: run it as root")
    mount = os.path.join(plant.dir, "small")
    os.mkdir(mount)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", mount], check=True)
    plant.defer(lambda: subprocess.run(["umount", "-l", mount], check=True))
    broker = plant.broker()
    account = plant.account(broker)
    slave = plant.slave()
    daemon = plant.haywain(configuration([uplink(broker.port)], [link(slave.port)], [device(every="10ms")]).replace(
        '"queue.db"', f'"{mount}/queue.db"'))
    wait_complete(account, "d1", 5)
    filler = os.path.join(mount, "filler")
    fd = os.open(filler, os.O_CREAT | os.O_WRONLY)
    try:
        while os.write(fd, b"x" * 4096):
            pass
    except OSError:
        pass
    os.close(fd)
    broker.stop()
    begin = slave.counters[1]
    daemon.wait_line("full", timeout=60)
    wait_until(lambda: slave.counters[1] > begin + 300, what="polling to go on")
    broker.start()
    # it stays in the memory tail and is delivered from there
    wait_complete(account, "d1", slave.counters[1])
    broker.stop()
    os.unlink(filler)
    begin = len(daemon.log.lines)
    daemon.wait_line("written to disk again", start=begin, timeout=60)
    count = slave.counters[1]
    wait_until(lambda: slave.counters[1] > count + 300, what="polls")
    count = slave.counters[1] - 100  # at 10 ms well outside the loss window
    daemon.kill()
    broker.start()
    daemon.start()
    wait_complete(account, "d1", count)
    assert account.out_of_order("d1") == []
    numbers_stay_unique(account)


def test_a_directory_nobody_may_write_keeps_the_gateway_going(plant):
    broker = plant.broker()
    account = plant.account(broker)
    slave = plant.slave()
    daemon = plant.haywain(configuration([uplink(broker.port)], [link(slave.port)], [device()]).replace(
        '"queue.db"', '"/proc/haywain/queue.db"'))
    wait_complete(account, "d1", 5)
    assert daemon.said("queue"), daemon.text()


def test_the_oldest_is_dropped_when_the_queue_is_full_and_every_drop_is_told(plant):
    broker = plant.broker()
    events = drops_told(plant, broker)
    account = plant.account(broker)
    slave = plant.slave()
    points = ", ".join(f'{{ name = "p{i}"; holding = {i}; }}' for i in range(2, 80))
    daemon = plant.haywain(configuration([uplink(broker.port)], [link(slave.port)],
                                         [device(every="5ms", points='{ name = "polls"; holding = 0; type = "uint32"; }, ' + points)],
                                         queue='max_size = "1MB"; memory = "256KB";', rest="self = false;\n"))
    wait_complete(account, "d1", 5)
    broker.stop()
    daemon.wait_line("max_size", "dropped", timeout=120)
    count = slave.counters[1]
    wait_until(lambda: slave.counters[1] > count + 200, what="more polls")
    broker.start()
    now = slave.counters[1]
    wait_until(lambda: max(account.counts("d1")) >= now, 60,
               lambda: f"the newest, {now}; got {account.counts('d1')[-5:]} of {slave.counters[1]}\n{daemon.log.text()}")
    wait_until(lambda: any(m.json()["event"] == "dropped" for m in events.messages), 30, "the event")
    told = sum(m.json()["samples"] for m in events.messages if m.json()["event"] == "dropped")
    end = max(account.counts("d1"))
    missing = set(range(1, end + 1)) - set(account.counts("d1"))
    # polls that took longer than their period were never samples, so count against what the device answered
    assert len(missing) == told, f"{len(missing)} missing, {told} told"
    assert account.out_of_order("d1") == []
    assert all(m.json()["reason"] == "queue full" for m in events.messages if m.json()["event"] == "dropped")


def false_clock(plant):
    """A library to preload, the file that says by how many seconds the clock is off, and what writes it."""
    stamp, shim = os.path.join(plant.dir, "stamp"), os.path.join(plant.dir, "wallclock.so")
    subprocess.run(["cc", "-D_GNU_SOURCE", "-O2", "-fPIC", "-shared", "-o", shim, os.path.join(PEERS, "wallclock.c"), "-ldl"],
                   check=True)

    def step(seconds):
        with open(stamp + ".new", "w", encoding="ascii") as f:
            f.write(f"{seconds}\n")
        os.rename(stamp + ".new", stamp)

    step(0)
    return shim, stamp, step


def kernel_says_set():
    """The clock is set to what it is: the kernel cancels the timers that wait for that, as with any setting."""
    try:
        time.clock_settime_ns(time.CLOCK_REALTIME, time.clock_gettime_ns(time.CLOCK_REALTIME))
        return True
    except PermissionError:
        print("SKIPPED IN PART: THE CLOCK OF THIS MACHINE MAY NOT BE SET, SO THE KERNEL TELLS NO STEP")
        return False


def test_a_sample_of_an_earlier_boot_keeps_its_time(plant):
    """Taken in one boot, sent in the next, whose monotonic clock and wall clock begin elsewhere."""
    if ASAN:
        pytest.skip("nothing can be preloaded before AddressSanitizer; the plain daemon is tested")
    shim, stamp, step = false_clock(plant)
    boot = os.path.join(plant.dir, "boot_id")
    with open(boot, "w", encoding="ascii") as f:
        f.write("01234567-89ab-cdef-0123-456789abcdef\n")
    broker = plant.broker()
    account = plant.account(broker)
    slave = plant.slave()
    daemon = plant.haywain(configuration([uplink(broker.port)], [link(slave.port)], [device(every="20ms")]), start=False)
    daemon.environment = {"LD_PRELOAD": shim, "WALLCLOCK": stamp}
    broker.stop()
    daemon.start()
    wait_until(lambda: slave.counters.get(1, 0) > 50, what="a backlog")
    daemon.stop()
    before = slave.counters[1]
    step(7200)
    daemon.environment = {"LD_PRELOAD": shim, "WALLCLOCK": stamp, "BOOT_ID": boot, "BOOTTIME": "500000"}
    broker.start()
    daemon.start()
    wait_complete(account, "d1", before + 20)
    now = time.time()
    for sample in account.samples["d1"]:
        off = 7200 if sample["values"]["polls"] > before else 0
        assert abs(sample["ts"] / 1000 - off - now) < 120, sample
        assert "time" not in sample
    daemon.stop()


def test_the_clock_steps_by_hours_both_ways(plant):
    if ASAN:
        pytest.skip("nothing can be preloaded before AddressSanitizer; the plain daemon is tested")
    shim, stamp, step = false_clock(plant)
    broker = plant.broker()
    account = plant.account(broker)
    slave = plant.slave()
    daemon = plant.haywain(configuration([uplink(broker.port)], [link(slave.port)], [device(every="20ms")],
                                         queue='max_age = "30m";'), start=False)
    daemon.environment = {"LD_PRELOAD": shim, "WALLCLOCK": stamp,
                          "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"}
    daemon.start()
    wait_complete(account, "d1", 20)
    for hours in (5, -3, 0):
        broker.stop()
        count = slave.counters[1]
        wait_until(lambda: slave.counters[1] > count + 50, what="polls")
        step(hours * 3600)
        told = len(daemon.log.lines)
        if kernel_says_set():
            daemon.wait_line("the clock was set", start=told)
        count = slave.counters[1]
        wait_until(lambda: slave.counters[1] > count + 50, what="polls after the step")
        broker.start()
        wait_complete(account, "d1", slave.counters[1])
        assert account.out_of_order("d1") == []
        last = account.samples["d1"][-1]
        wait_until(lambda: account.samples["d1"][-1] is not last, what="another sample")
        assert abs(account.samples["d1"][-1]["ts"] / 1000 - (time.time() + hours * 3600)) < 60
    daemon.stop()


def test_an_untrusted_clock_marks_the_time_and_waits_for_it(plant):
    """With clock = "ntp" on a machine that says nothing of synchronisation, readings wait up to clock_wait. (A first
    start ever waits on: without a mark on disk the numbers begin at a time that must be right.)"""
    broker = plant.broker()
    account = plant.account(broker)
    slave = plant.slave()
    text = configuration([uplink(broker.port, more='clock_wait = "2s";')], [link(slave.port)], [device()])
    daemon = plant.haywain(text, **plant.kernel_clock()[0])
    wait_complete(account, "d1", 5)
    daemon.stop()
    begin = slave.counters[1] + 1
    before = len(account.samples["d1"])
    daemon.configure(text.replace('clock = "trust"', 'clock = "ntp"')).start()
    wait_until(lambda: set(range(begin, begin + 20)) <= set(account.counts("d1")), 60, "samples of the second run")
    assert all(s.get("time") == "uncertain" for s in account.samples["d1"][before + 1:])


def test_a_first_start_without_a_trusted_clock_says_what_it_waits_for(plant):
    broker = plant.broker()
    slave = plant.slave()
    text = configuration([uplink(broker.port, more='clock_wait = "1s";')], [link(slave.port)], [device()]).replace(
        'clock = "trust"', 'clock = "ntp"')
    daemon = plant.haywain(text, start=False, **plant.kernel_clock()[0])
    daemon.api = os.path.join(daemon.dir, "api.sock")
    daemon.configure(text + f'api: {{ socket = "{daemon.api}"; }};\n').start()
    daemon.wait_line("clock", timeout=20)
    wait_until(lambda: slave.counters.get(1, 0) > 20, what="polling to go on")
    # Connected, and yet nothing goes up: an empty reason beside "connected" left people with an empty screen.
    daemon.wait_line("connected to")
    told = wait_until(lambda: (u := get(daemon, "/v1/status")["uplinks"][0])["connects"] == 1 and u, what="the connection")
    assert told["state"] == "waits for clock" and 'gateway.clock = "trust"' in told["reason"], told
    assert f'{told["backlog"]} samples wait for the clock' in told["reason"] and "at most" not in told["reason"], told
    wait_until(lambda: "cloud waits for clock: " in daemon.notify.last_status(), what="the service's status to tell it")
    assert 'gateway.clock = "trust"' in daemon.notify.last_status()
    daemon.reload(text.replace('clock = "ntp"', 'clock = "trust"') + f'api: {{ socket = "{daemon.api}"; }};\n')
    wait_until(lambda: get(daemon, "/v1/status")["uplinks"][0]["delivered"] > 20, what="samples to flow")
    told = get(daemon, "/v1/status")["uplinks"][0]
    assert told["state"] == "connected" and "clock" not in told.get("reason", ""), told


def test_a_battery_clock_is_better_than_nothing(plant):
    """A machine with a battery clock and no time server made everybody wait: a new queue for ever. Its times are still marked."""
    broker = plant.broker()
    account = plant.account(broker)
    slave = plant.slave()
    text = configuration([uplink(broker.port, more='clock_wait = "1d";')], [link(slave.port)], [device()]).replace(
        'clock = "trust"', 'clock = "ntp"')
    environment, set_error = plant.kernel_clock(battery_s=time.time() - 90)
    daemon = plant.haywain(text, **environment)
    daemon.wait_line("battery clock")
    wait_complete(account, "d1", 5)
    assert all(sample["time"] == "uncertain" for sample in account.samples["d1"])
    assert "waiting for this machine's clock" not in daemon.text()
    set_error(2000)
    daemon.wait_line("the clock is synchronised")
    before = len(account.samples["d1"])
    wait_until(lambda: any("time" not in s for s in account.samples["d1"][before:]), what="samples whose time is certain")


def test_an_empty_battery_is_nothing(plant):
    broker = plant.broker()
    slave = plant.slave()
    text = configuration([uplink(broker.port, more='clock_wait = "1d";')], [link(slave.port)], [device()]).replace(
        'clock = "trust"', 'clock = "ntp"')
    daemon = plant.haywain(text, **plant.kernel_clock(battery_s=946684800)[0])
    daemon.wait_line("waiting for this machine's clock")
    assert "battery" not in daemon.text()


def test_without_dbus_the_kernel_is_asked_whether_the_clock_is_right(plant):
    """In a container nobody can ask timedated: samples waited two minutes there although the kernel knew."""
    broker = plant.broker()
    account = plant.account(broker)
    slave = plant.slave()
    environment, set_error = plant.kernel_clock()
    text = configuration([uplink(broker.port, more='clock_wait = "1d";')], [link(slave.port)], [device()]).replace(
        'clock = "trust"', 'clock = "ntp"')
    daemon = plant.haywain(text, **environment)
    daemon.wait_line("waiting for this machine's clock")
    wait_until(lambda: slave.counters.get(1, 0) > 3, what="polling to go on")
    assert "d1" not in account.samples
    set_error(2000)
    daemon.wait_line("the clock is synchronised")
    wait_complete(account, "d1", 5)
    assert all("time" not in sample for sample in account.samples["d1"])
