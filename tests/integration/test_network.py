# SPDX-License-Identifier: Apache-2.0
"""A network that swallows packets, names that do not resolve, IPv6: the field goes on, and the daemon leaves in time."""
import os
import re
import time

from conftest import configuration, device, link, uplink, wait_complete
from test_api import get
from processes import free_port, wait_until


def plant_with_lines(plant):
    """A daemon's network, a line to the field that stays, and one to the broker that can be cut."""
    network = plant.network()
    field, world = network.line(), network.line()
    port = free_port()
    broker = plant.broker(extra=f"listener {port} {world.here}")
    slave = plant.slave(host=field.here)
    return network, world, broker, port, slave, link(slave.port, host=field.here)


def test_a_broker_whose_packets_vanish_is_found_out_and_nothing_is_lost(plant):
    network, world, broker, port, slave, bus = plant_with_lines(plant)
    account = plant.account(broker)
    daemon = plant.haywain(configuration([uplink(port, host=world.here, more='keepalive = "5s"; connect_timeout = "1s";')],
                                         [bus], [device(every="50ms")]), start=False)
    daemon.start(argv=network.argv())
    wait_complete(account, "d1", 10)
    world.cut()
    daemon.wait_line("cloud", "connection lost", "again", timeout=60)
    daemon.wait_line("cloud", "does not answer", "again", timeout=60)
    count = slave.counters[1]
    wait_until(lambda: slave.counters[1] > count + 20, what="polling to go on")
    world.mend()
    wait_complete(account, "d1", slave.counters[1])
    assert account.out_of_order("d1") == []


def long_pause(daemon, at_least):
    """Seconds of the pause that has just begun, once it is a long one."""
    reason = get(daemon, "/v1/status")["uplinks"][0].get("reason", "")
    told = re.search(r"trying again in ([\d.]+) s", reason)
    return told and float(told[1]) >= at_least and float(told[1])


def test_a_network_that_only_repeats_itself_hurries_nobody(plant):
    """Each announcement of an IPv6 router and each renewed lease began the pauses anew: the broker was asked every 2 s for ever."""
    network = plant.network()
    world = network.line()
    daemon = plant.haywain(configuration([uplink(free_port(), host=world.here)], rest='api: { socket = "api.sock"; };\n'), start=False)
    daemon.api = os.path.join(daemon.dir, "api.sock")
    daemon.start(argv=network.argv())
    wait_until(lambda: world.refresh_here() or world.route_elsewhere() or long_pause(daemon, 6), 60, "a long pause")


def test_an_uplink_tries_at_once_when_there_is_a_default_route(plant):
    """A link and its address may be there long before the modem leads anywhere."""
    network = plant.network()
    world = network.line()
    daemon = plant.haywain(configuration([uplink(free_port(), host="203.0.113.1", more='connect_timeout = "1s";')],
                                         rest='api: { socket = "api.sock"; };\n'), start=False)
    daemon.api = os.path.join(daemon.dir, "api.sock")
    daemon.start(argv=network.argv())
    daemon.wait_line("cloud", "203.0.113.1", "cannot be reached", timeout=60)
    seconds, begun = wait_until(lambda: long_pause(daemon, 12), 120, "a long pause"), time.monotonic()
    world.default_route()
    daemon.wait_line("cloud", "203.0.113.1", "does not answer", timeout=60)
    assert time.monotonic() - begun < seconds, "it waited for the end of its pause"


def test_an_uplink_tries_at_once_when_its_network_comes_back(plant):
    """After an outage the drain began when the back-off was over, up to a minute late."""
    network, world, broker, port, slave, bus = plant_with_lines(plant)
    account = plant.account(broker)
    daemon = plant.haywain(configuration([uplink(port, host=world.here, more='keepalive = "5s"; connect_timeout = "1s";')],
                                         [bus], [device(every="50ms")], rest='api: { socket = "api.sock"; };\n'), start=False)
    daemon.api = os.path.join(daemon.dir, "api.sock")
    daemon.start(argv=network.argv())
    wait_complete(account, "d1", 10)
    world.cut_here()
    seconds, begun = wait_until(lambda: long_pause(daemon, 12), 120, "a long pause"), time.monotonic()
    world.mend_here()
    daemon.wait_line("connected to", start=len(daemon.log.lines) - 1)
    assert time.monotonic() - begun < seconds, "it waited for the end of its pause"
    wait_complete(account, "d1", slave.counters[1])


def test_sigterm_while_the_network_swallows_the_syn(plant):
    network, world, _, port, slave, bus = plant_with_lines(plant)
    world.cut()
    daemon = plant.haywain(configuration([uplink(port, host=world.here, more='connect_timeout = "60s";')],
                                         [bus, link(port, "swallowed", "30s", host=world.here)],
                                         [device(every="50ms"), device("d2", "swallowed")]),
                           start=False, WATCHDOG_USEC="1000000")
    daemon.start(argv=network.argv())
    wait_until(lambda: slave.counters.get(1, 0) > 20, what="polling to go on")
    wait_until(lambda: daemon.notify.count("WATCHDOG=1") > 4, what="the watchdog to be fed")
    assert "connecting" in daemon.notify.last_status()
    daemon.stop()


def test_a_name_server_that_does_not_answer(plant):
    """The look-up of the broker's name hangs, that of a device's too: the others go on, and the end comes in time."""
    network, world, _, port, slave, bus = plant_with_lines(plant)
    network.names(world.nobody)
    daemon = plant.haywain(configuration([uplink(port, host="broker.example")],
                                         [bus, link(502, "named", host="meter.example")],
                                         [device(every="50ms"), device("d2", "named")]),
                           start=False, WATCHDOG_USEC="1000000")
    daemon.start(argv=network.argv())
    wait_until(lambda: slave.counters.get(1, 0) > 20, what="polling to go on")
    wait_until(lambda: daemon.notify.count("WATCHDOG=1") > 4, what="the watchdog to be fed")
    assert not daemon.said("no progress")
    daemon.stop()


def test_names_that_do_not_resolve_yet(plant):
    network = plant.network()
    field = network.line()
    port = free_port()
    hosts = network.names()
    broker = plant.broker(extra=f"listener {port} {field.here}")
    account = plant.account(broker)
    slave = plant.slave(host=field.here)
    daemon = plant.haywain(configuration([uplink(port, host="broker.example")], [link(slave.port, host="meter.example")],
                                         [device()]), start=False)
    daemon.start(argv=network.argv())
    daemon.wait_line("cloud", "broker.example", "resolve", "again")
    daemon.wait_line("bus", "down", "again")
    with open(hosts, "w", encoding="ascii") as f:
        f.write(f"{field.here} broker.example meter.example\n")
    wait_complete(account, "d1", 10)


def test_ipv6(plant):
    port = free_port()
    broker = plant.broker(extra=f"listener {port} ::1")
    account = plant.account(broker)
    slave = plant.slave(host="::1")
    plant.haywain(configuration([uplink(port, host="[::1]")], [link(slave.port, host="[::1]")], [device()]))
    wait_complete(account, "d1", 10)
