# SPDX-License-Identifier: Apache-2.0
"""Age, the clock's keeper, a machine's default name, a plugin that floods, and memory that runs out."""
import os
import re
import socket
import subprocess
import time

import pytest
from conftest import ASAN, BUILD, PEERS, TOP, configuration, device, link, uplink, wait_complete
from processes import spawn, stop, wait_until


def test_what_is_too_old_is_dropped_and_told_where_the_clock_is_trusted(plant):
    """The second run has a clock two hours on, as after a long stop without a reboot."""
    if os.geteuid() != 0:
        pytest.fail("this test makes a time namespace: run it as root")
    broker = plant.broker()
    account = plant.account(broker)
    told = plant.subscriber(broker, ("haywain/plant/event",), client_id="events")
    slave = plant.slave()
    daemon = plant.haywain(configuration([uplink(broker.port)], [link(slave.port)], [device(every="20ms")],
                                         queue='max_age = "1h";'))
    wait_complete(account, "d1", 5)
    broker.stop()
    begin = slave.counters[1]
    wait_until(lambda: slave.counters[1] > begin + 50, what="a backlog")
    daemon.stop()
    last = slave.counters[1]
    daemon.start(argv=["unshare", "--time", "--monotonic", "7200", "--boottime", "7200"])
    daemon.wait_line("max_age", "dropped")
    broker.start()
    wait_until(lambda: max(account.counts("d1")) > last + 20, what="samples of the second run")
    wait_until(lambda: [m for m in told.messages if m.json()["event"] == "dropped"], what="the event")
    event, = [m.json() for m in told.messages if m.json()["event"] == "dropped"]
    missing = set(range(1, last)) - set(account.counts("d1"))
    assert event["reason"] == "too old"
    assert event["samples"] - len(missing) in (0, 1)  # the very last poll may have been answered and not taken
    assert set(range(begin + 3, last)) <= missing


def test_a_machine_with_a_common_name_is_warned_of_its_twin(plant):
    if os.geteuid() != 0:
        pytest.fail("this test gives itself another host name: run it as root")
    broker = plant.broker()
    status = plant.subscriber(broker, ("haywain/raspberrypi/status",))
    text = configuration([uplink(broker.port)]).replace('id = "plant";', "")
    daemon = plant.haywain(text, start=False)
    daemon.start(argv=["unshare", "--uts", "sh", "-c", 'hostname raspberrypi && exec "$@"', "sh"])
    assert daemon.said("warning", "raspberrypi", "gateway.id")
    wait_until(lambda: status.messages, what="the status under that name")
    daemon.stop()
    seen = len(daemon.log.lines)
    daemon.configure(configuration([uplink(broker.port)])).start()
    assert not daemon.said("gateway.id", start=seen)


TIMEDATED = """
import sys
from gi.repository import GLib
import dbus, dbus.service
from dbus.mainloop.glib import DBusGMainLoop

class Timedated(dbus.service.Object):
    @dbus.service.method("org.freedesktop.DBus.Properties", in_signature="ss", out_signature="v")
    def Get(self, interface, name):
        return dbus.Boolean(open(sys.argv[2]).read().strip() == "yes", variant_level=1)

DBusGMainLoop(set_as_default=True)
bus = dbus.bus.BusConnection(sys.argv[1])
name = dbus.service.BusName("org.freedesktop.timedate1", bus)
Timedated(bus, "/org/freedesktop/timedate1")
GLib.MainLoop().run()
"""


def test_a_clock_that_is_set_later_ends_the_wait_and_times_what_was_taken_before(plant):
    """A private bus with a timedated that says what a file says. A first start: the numbers wait for the time too."""
    said, address = os.path.join(plant.dir, "synchronised"), f"unix:path={plant.dir}/bus"
    with open(said, "w", encoding="ascii") as f:
        f.write("no")
    bus = spawn(["dbus-daemon", "--session", "--nofork", "--address=" + address], stderr=subprocess.DEVNULL)
    plant.defer(lambda: stop(bus))
    wait_until(lambda: os.path.exists(f"{plant.dir}/bus"), what="the bus")
    timedated = spawn(["/usr/bin/python3", "-c", TIMEDATED, address, said])
    plant.defer(lambda: stop(timedated))
    broker = plant.broker()
    account = plant.account(broker)
    slave = plant.slave()
    daemon = plant.haywain(configuration([uplink(broker.port)], [link(slave.port)], [device()]).replace(
        'clock = "trust"', 'clock = "ntp"'), DBUS_SYSTEM_BUS_ADDRESS=address)
    daemon.wait_line("cloud", "waiting for this machine's clock")
    wait_until(lambda: slave.counters.get(1, 0) > 10, what="polling to go on")
    assert account.distinct() == 0
    with open(said, "w", encoding="ascii") as f:
        f.write("yes")
    daemon.wait_line("the clock is synchronised")
    wait_complete(account, "d1", 10)
    first = account.samples["d1"][0]
    assert all("time" not in s for s in account.samples["d1"])
    assert abs(first["seq"] / 1e6 - time.time()) < 3600
    assert abs(first["ts"] / 1000 - time.time()) < 300


FLOOD = r"""
#include <haywain/plugin.h>
#include <stdlib.h>
struct state { struct hay_device *device; struct hay_timer *timer; int64_t n; };
static void more(void *userdata)
{
	struct state *state = userdata;
	const struct hay_host *host = state->device->link->host;
	for (int i = 0; i < 2000; i++) {
		struct hay_reading reading = {.value = {.type = HAY_INT64, .i = ++state->n}};
		struct hay_sample sample = {.time_us = host->now(), .readings = &reading, .n_readings = 1};
		host->emit(state->device, &sample);
	}
	host->set_timer(state->timer, 0);
}
static int open_link(struct hay_link *link) { (void)link; return 0; }
static void close_link(struct hay_link *link) { (void)link; }
static int start(struct hay_device *device)
{
	struct state *state = calloc(1, sizeof(*state));
	state->device = device;
	device->state = state;
	return device->link->host->add_timer(device->link, 0, more, state, &state->timer);
}
static void stop(struct hay_device *device)
{
	struct state *state = device->state;
	device->link->host->del_timer(state->timer);
	free(state);
}
static int poll_device(struct hay_device *device, const uint32_t *due, size_t n)
{
	(void)due, (void)n;
	device->link->host->round_done(device, NULL, HAY_OK, HAY_NO_REASON, NULL, 0);
	return 0;
}
HAY_PLUGIN("flood", .version = "1", .open = open_link, .close = close_link, .start = start, .stop = stop, .poll = poll_device);
"""


def test_a_plugin_that_floods_stays_within_memory_and_the_others_are_polled(plant):
    folder = os.path.join(plant.dir, "plugins")
    os.mkdir(folder)
    os.symlink(os.path.join(BUILD, "plugins", "modbus.so"), os.path.join(folder, "modbus.so"))
    source = os.path.join(folder, "flood.c")
    with open(source, "w", encoding="ascii") as f:
        f.write(FLOOD)
    subprocess.run(["cc", "-std=gnu17", "-fPIC", "-shared", "-I", os.path.join(TOP, "include"), "-o", source[:-1] + "so", source],
                   check=True)
    slave = plant.slave()
    with socket.create_server(("127.0.0.1", 0)) as silent:  # an uplink whose broker never answers: all of it queues
        daemon = plant.haywain(
            configuration([uplink(silent.getsockname()[1])], [link(slave.port), '  { name = "wild"; plugin = "flood"; }'],
                          [device(every="100ms"), '  { name = "wild"; link = "wild"; points: ( { name = "x"; type = "int64"; } ); }'],
                          queue='max_size = "4MB"; memory = "1MB";'), HAYWAIN_PLUGIN_DIR=folder)
        daemon.wait_line("dropped", timeout=60)
        count = slave.counters.get(1, 0)
        wait_until(lambda: slave.counters.get(1, 0) > count + 20, 60, "the neighbour to be polled")
        if not ASAN:
            with open(f"/proc/{daemon.process.pid}/status", encoding="ascii") as f:
                assert int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1)) < 24 * 1024
        assert sum(os.path.getsize(os.path.join(daemon.dir, n)) for n in os.listdir(daemon.dir)
                   if n.startswith("queue.db") and not n.endswith("-shm")) < 16 << 20
        daemon.stop()


@pytest.fixture(name="shortage", scope="module")
def _shortage(tmp_path_factory):
    shim = str(tmp_path_factory.mktemp("shortage") / "shortage.so")
    subprocess.run(["cc", "-D_GNU_SOURCE", "-O2", "-fPIC", "-shared", "-o", shim, os.path.join(PEERS, "shortage.c"), "-ldl"], check=True)
    return shim


def test_a_check_that_runs_out_of_memory_ends_in_good_order(plant, shortage):
    if ASAN:
        pytest.skip("nothing can be preloaded before AddressSanitizer; the plain daemon is tested")
    daemon = plant.haywain(configuration([uplink(1883)], [link(1502)], [device()]), start=False)
    failed = 0
    nothing = ""  # the very first ones: before there is anything to say it with
    for n in range(1, 200):
        daemon.environment = {"LD_PRELOAD": shortage, "SHORTAGE": str(n)}
        status, output = daemon.check()
        assert status in (0, 1), f"allocation {n} fails: exit status {status}\n{output}"
        blamed = output.replace("out of memory: a message is missing here", "")
        assert "too many" not in blamed and "missing" not in blamed, f"allocation {n} fails, and the file is blamed:\n{output}"
        if status and output != nothing:
            assert "emory" in output, f"allocation {n} fails, and that is not said:\n{output}"
        failed += status
        if n > 60 and status == 0:
            break
    assert failed > 10, "allocations were made to fail"


def test_a_daemon_that_runs_out_of_memory_at_any_moment_ends_or_goes_on(plant, shortage):
    if ASAN:
        pytest.skip("nothing can be preloaded before AddressSanitizer; the plain daemon is tested")
    broker = plant.broker()
    account = plant.account(broker)
    slave = plant.slave()
    daemon = plant.haywain(configuration([uplink(broker.port)], [link(slave.port)], [device(every="20ms")]), start=False)
    for n in [*range(10, 40, 3), *range(40, 300, 24)]:
        daemon.environment = {"LD_PRELOAD": shortage, "SHORTAGE": str(n)}
        daemon.start(ready=False)
        begin = slave.counters.get(1, 0)
        # What there was no room for at the start is left out, and that is said; the rest runs.
        wait_until(lambda b=begin: daemon.process.poll() is not None or slave.counters.get(1, 0) > b + 10
                   or (daemon.notify.count("READY=1") and (daemon.said("out of memory") or daemon.said("annot allocate memory"))), 20,
                   lambda: f"allocation {n} fails: it neither ends nor polls\n{daemon.log.text()}")
        if daemon.process.poll() is None:
            daemon.stop()
        else:
            daemon.log.join()
            # not 78: systemd would not try again
            assert daemon.process.returncode == 1, f"allocation {n} fails: {daemon.process.returncode}\n{daemon.log.text()}"
    daemon.environment = {}
    daemon.start()
    before = slave.counters.get(1, 0)
    wait_until(lambda: max(account.counts("d1"), default=0) > before + 10, what="samples after all that")
    assert account.out_of_order("d1") == []


def test_the_summary_of_an_hour_adds_up(plant):
    """The daemon's hours last two seconds: what the lines say was taken and delivered is what arrived."""
    if ASAN:
        pytest.skip("nothing can be preloaded before AddressSanitizer; the plain daemon is tested")
    shim = os.path.join(plant.dir, "hour.so")
    subprocess.run(["cc", "-D_GNU_SOURCE", "-O2", "-fPIC", "-shared", "-o", shim, os.path.join(PEERS, "hour.c"), "-ldl"], check=True)
    broker = plant.broker()
    account = plant.account(broker)
    slave = plant.slave()
    daemon = plant.haywain(configuration([uplink(broker.port)], [link(slave.port)], [device(every="50ms")], rest="self = false;"),
                           start=False)
    daemon.environment = {"LD_PRELOAD": shim}
    daemon.start()
    pattern = re.compile(r"last hour: (\d+) samples taken, (\d+) delivered, (\d+) queued, (\d+) dropped, .* written to disk; "
                         r"1 of 1 devices online, 0 of (\d+) polls failed")

    def hours():
        return [tuple(map(int, m.groups())) for m in map(pattern.search, daemon.text().splitlines()) if m]

    wait_until(lambda: len(hours()) >= 3, what="three of them")
    lines = hours()[:3]
    taken, delivered = sum(h[0] for h in lines), sum(h[1] for h in lines)
    assert all(h[0] > 0 for h in lines), "each tells of its own hour"
    assert abs(taken - delivered) <= 20 and not any(h[3] for h in lines)
    assert abs(sum(h[4] for h in lines) - taken) <= 5, "a poll makes a sample"
    wait_complete(account, "d1", taken)
    assert delivered <= account.arrivals()
