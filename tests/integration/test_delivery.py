# SPDX-License-Identifier: Apache-2.0
"""Readings arrive complete and in order, whatever becomes of the broker or of the daemon."""
import random
import time

from conftest import complete, configuration, device, link, uplink, wait_complete
from processes import wait_until

TWO_POINTS = '{ name = "polls"; holding = 0; type = "uint32"; }, { name = "level"; holding = 7; scale = 0.1; unit = "m"; }'


def test_a_reading_travels_from_a_modbus_device_to_a_broker_over_tls(plant):
    broker = plant.broker(tls=True)
    account = plant.account(broker)
    everything = plant.subscriber(broker, client_id="everything")
    modbus = plant.device([3])
    modbus.order(set=[3, 7, [612]])
    daemon = plant.haywain(configuration(
        [uplink(broker.tls_port, host="localhost", scheme="mqtts", more=f'tls: {{ ca_file = "{plant.ca.file}"; }};')],
        [link(modbus.port)],
        [device("tank", unit=3, points=TWO_POINTS, more='tags: { room = "cellar"; };')]))
    wait_until(lambda: account.distinct() >= 10, what="ten samples")

    sample = account.samples["tank"][0]
    assert sample["device"] == "tank"
    assert sample["values"] == {"polls": 1, "level": 61.2}
    assert "quality" not in sample and "time" not in sample
    assert abs(sample["ts"] / 1000 - time.time()) < 30
    topics = {m.topic: m for m in list(everything.messages)}
    assert topics["haywain/plant/status"].json()["online"] is True
    card = topics["haywain/plant/device/tank"].json()
    assert card["online"] is True and card["tags"] == {"room": "cellar"}
    assert card["points"]["level"] == {"type": "float64", "unit": "m", "access": "read"}
    started = next(m.json() for m in everything.messages if m.topic == "haywain/plant/event")
    assert started["event"] == "started" and started["first_seq"] <= sample["seq"]

    daemon.stop()
    wait_until(lambda: [m.json() for m in everything.messages if m.topic == "haywain/plant/status"][-1]["online"] is False,
               what="the farewell")
    late = plant.subscriber(broker, client_id="late")
    wait_until(lambda: any(m.topic == "haywain/plant/device/tank" and m.retained for m in late.messages),
               what="the retained card")
    assert account.twice() == 0


def test_the_will_is_published_when_the_daemon_dies(plant):
    broker = plant.broker()
    status = plant.subscriber(broker, ("haywain/plant/status",))
    modbus = plant.device()
    daemon = plant.haywain(configuration([uplink(broker.port)], [link(modbus.port)], [device()]))
    wait_until(lambda: status.messages and status.messages[-1].json()["online"] is True, what="online")
    daemon.kill()
    wait_until(lambda: status.messages[-1].json()["online"] is False, what="the will")


def test_broker_stopped_and_restarted_under_load(plant):
    broker = plant.broker()
    account = plant.account(broker)
    modbus = plant.device([1, 2, 3, 4])
    names = [f"d{unit}" for unit in (1, 2, 3, 4)]
    inflight = 20
    plant.haywain(configuration([uplink(broker.port, more=f"inflight = {inflight};")], [link(modbus.port)],
                                [device(name, unit=unit, every="20ms") for unit, name in enumerate(names, 1)]))
    wait_until(lambda: account.distinct() > 100, what="a hundred samples")
    rounds = 4
    for _ in range(rounds):
        broker.stop()
        before = modbus.counts()
        wait_until(lambda: all(modbus.counts()[u] > before[u] + 30 for u in before), what="polling to go on")
        broker.start()
        after = modbus.counts()
        wait_until(lambda: all(complete(account, n, after[u]) for u, n in enumerate(names, 1)), 60,
                   "the backlog to drain", 0.05)
    counts = modbus.counts()
    for unit, name in enumerate(names, 1):
        wait_complete(account, name, counts[unit])
        assert account.out_of_order(name) == []
    assert account.twice() <= rounds * inflight


def test_a_broker_that_is_reachable_but_silent(plant):
    broker = plant.broker()
    account = plant.account(broker)
    modbus = plant.device()
    daemon = plant.haywain(configuration([uplink(broker.port, more='keepalive = "5s"; connect_timeout = "2s"; inflight = 10;')],
                                         [link(modbus.port)], [device(every="50ms")]))
    wait_until(lambda: account.distinct() > 20, what="samples")
    broker.freeze()
    before = modbus.counts()[1]
    daemon.wait_line("cloud", "again", timeout=40)
    assert modbus.counts()[1] > before + 50
    broker.thaw()
    wait_complete(account, "d1", modbus.counts()[1])
    assert account.out_of_order("d1") == []
    assert account.twice() <= 20


def test_a_dead_uplink_does_not_hold_up_the_other(plant):
    alive, dead = plant.broker(), plant.broker()
    account, other = plant.account(alive), plant.account(dead)
    modbus = plant.device()
    plant.haywain(configuration([uplink(alive.port, "alive"), uplink(dead.port, "dead")], [link(modbus.port)],
                                [device(every="50ms")]))
    wait_until(lambda: other.distinct() > 5 and account.distinct() > 5, what="samples at both")
    dead.stop()
    count = modbus.counts()[1]
    wait_complete(account, "d1", count + 60)
    dead.start()
    count = modbus.counts()[1]
    wait_complete(other, "d1", count)
    wait_complete(account, "d1", count)
    assert other.out_of_order("d1") == [] and account.twice() == 0


def test_killed_in_a_loop_nothing_older_than_the_loss_window_is_lost(plant):
    """SIGKILL at random moments while the broker comes and goes. What may miss is only the end of a run:
    what was taken within the window (commit and two fsyncs) before the kill."""
    broker = plant.broker()
    account = plant.account(broker)
    modbus = plant.device()
    window = 0.2 + 2 * 0.15 + 0.1
    every = 0.02
    daemon = plant.haywain(configuration([uplink(broker.port)], [link(modbus.port)], [device(every="20ms")]), start=False)
    chance = random.Random(7)
    allowed = set()
    for turn in range(12):
        away = turn % 3 == 1
        daemon.start()
        begin = modbus.counts()[1]
        if away:
            broker.stop()
        wait_until(lambda: modbus.counts()[1] > begin + 20 + chance.randrange(60), what="polls")
        daemon.kill()
        end = modbus.counts()[1]
        # A kill between a device's answer and our count of it is at most a poll or two.
        allowed |= set(range(end - int(window / every) - 2, end + 1))
        if away:
            broker.start()
    daemon.start()
    end = modbus.counts()[1] + 20
    wait_complete_but(account, end, allowed)
    missing = set(range(1, end + 1)) - set(account.counts("d1"))
    assert missing <= allowed, sorted(missing - allowed)
    assert account.out_of_order("d1") == []
    # a careful consumer: a number never stands for two samples
    stands_for = {}
    for sample in account.samples["d1"]:
        assert stands_for.setdefault(sample["seq"], sample["values"]["polls"]) == sample["values"]["polls"]
    values = list(stands_for.values())
    assert len(values) == len(set(values)), "a poll has two numbers"


def wait_complete_but(account, end, allowed):
    wait_until(lambda: set(range(1, end + 1)) - allowed <= set(account.counts("d1")), 60,
               lambda: f"missing {sorted(set(range(1, end + 1)) - allowed - set(account.counts('d1')))[:20]}", 0.05)


def test_write_through_keeps_all_that_was_sent(plant):
    broker = plant.broker()
    account = plant.account(broker)
    modbus = plant.device()
    daemon = plant.haywain(configuration([uplink(broker.port)], [link(modbus.port)], [device(every="50ms")],
                                         queue='write = "through";'))
    wait_until(lambda: account.distinct() > 30, what="samples")
    broker.stop()
    count = modbus.counts()[1]
    wait_until(lambda: modbus.counts()[1] > count + 20, what="polls")
    daemon.kill()
    broker.start()
    daemon.start()
    wait_complete(account, "d1", count + 5)
    assert account.out_of_order("d1") == []


def test_a_stop_in_good_order_keeps_the_backlog(plant):
    broker = plant.broker()
    account = plant.account(broker)
    modbus = plant.device()
    daemon = plant.haywain(configuration([uplink(broker.port)], [link(modbus.port)], [device(every="50ms")]))
    wait_until(lambda: account.distinct() > 10, what="samples")
    broker.stop()
    count = modbus.counts()[1]
    wait_until(lambda: modbus.counts()[1] > count + 30, what="polls")
    daemon.stop()
    end = modbus.counts()[1]
    broker.start()
    daemon.start()
    # The poll under way at the stop may have been answered and not taken.
    wait_complete(account, "d1", end - 1)
    assert account.out_of_order("d1") == []


def test_batches(plant):
    broker = plant.broker()
    account = plant.account(broker)
    raw = plant.subscriber(broker, ("haywain/plant/data/#",), client_id="raw")
    modbus = plant.device()
    plant.haywain(configuration([uplink(broker.port, more='batch = 10; batch_wait = "500ms";')], [link(modbus.port)],
                                [device(every="20ms")]))
    wait_complete(account, "d1", 100)
    assert all(isinstance(m.json(), list) for m in raw.messages)
    assert max(len(m.json()) for m in raw.messages) > 1
    assert max(len(m.json()) for m in raw.messages) <= 10


def test_mqtt_311_and_qos_0(plant):
    broker = plant.broker()
    account = plant.account(broker)
    modbus = plant.device()
    plant.haywain(configuration([uplink(broker.port, "old", more="version = 311;"),
                                 uplink(broker.port, "zero", more='qos = 0; client_id = "zero"; prefix = "zero/{gateway}";')],
                                [link(modbus.port)], [device()]))
    zero = plant.account(broker, prefix="zero", client_id="zero-counter")
    wait_complete(account, "d1", 30)
    wait_until(lambda: zero.distinct() > 10, what="samples of the uplink with qos 0")
    assert account.twice() == 0
