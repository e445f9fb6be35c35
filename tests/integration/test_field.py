# SPDX-License-Identifier: Apache-2.0
"""Devices that refuse, are silent, late, or talk nonsense; and their neighbours, which do not notice."""
import struct
import threading
import time

import pytest
from conftest import COUNTER, configuration, device, link, uplink, wait_complete
from processes import wait_until


def quality_of(account, name, point):
    return [s["quality"][point] for s in account.samples.get(name, []) if point in s.get("quality", {})]


def test_a_register_the_device_refuses_is_bad_by_name_and_the_device_stays_online(plant):
    broker = plant.broker()
    account = plant.account(broker)
    cards = plant.subscriber(broker, ("haywain/plant/device/#",), client_id="cards")
    modbus = plant.device()
    modbus.order(refuse=[1, 50])
    points = COUNTER + ', { name = "gone"; holding = 50; }, { name = "near"; holding = 51; }'
    plant.haywain(configuration([uplink(broker.port)], [link(modbus.port)], [device(points=points)]))
    wait_complete(account, "d1", 10)
    assert "illegal data address" in quality_of(account, "d1", "gone")[-1].lower()
    assert all("gone" not in s["values"] for s in account.samples["d1"])
    wait_until(lambda: "near" in account.samples["d1"][-1]["values"], what="the neighbour that was asked together with it")
    assert all(m.json()["online"] or m.json()["reason"] == "not heard yet" for m in cards.messages)


def test_not_a_number_is_bad(plant):
    broker = plant.broker()
    account = plant.account(broker)
    modbus = plant.device()
    modbus.order(set=[1, 10, list(struct.unpack(">HH", struct.pack(">f", float("nan"))))])
    modbus.order(set=[1, 12, list(struct.unpack(">HH", struct.pack(">f", float("inf"))))])
    modbus.order(set=[1, 14, list(struct.unpack(">HH", struct.pack(">f", 1.5)))])
    points = ", ".join([COUNTER] + [f'{{ name = "{n}"; holding = {a}; type = "float32"; }}'
                                    for n, a in (("nan", 10), ("inf", 12), ("fine", 14))])
    plant.haywain(configuration([uplink(broker.port)], [link(modbus.port)], [device(points=points)]))
    wait_complete(account, "d1", 5)
    sample = account.samples["d1"][0]
    assert sample["values"] == {"polls": 1, "fine": 1.5}
    assert sample["quality"] == {"nan": "bad: not a number", "inf": "bad: not a number"}


def test_out_of_range_is_uncertain(plant):
    broker = plant.broker()
    account = plant.account(broker)
    modbus = plant.device()
    modbus.order(set=[1, 10, [76]])
    plant.haywain(configuration([uplink(broker.port)], [link(modbus.port)],
                                [device(points=COUNTER + ', { name = "t"; holding = 10; max = 75; }')]))
    wait_complete(account, "d1", 3)
    assert account.samples["d1"][0]["values"]["t"] == 76
    assert account.samples["d1"][0]["quality"] == {"t": "uncertain: out of range"}


def test_a_silent_device_on_its_own_link_costs_the_others_nothing(plant):
    """A thread for each link: where one waits out its time-out no other link's poll is late. The worst gap tells; the
    median is the same where all links take turns."""
    broker = plant.broker()
    account = plant.account(broker)
    timeout = 1.0
    good, silent = plant.slave(), plant.slave(lambda *_: None)
    plant.haywain(configuration([uplink(broker.port)],
                                [link(good.port, "a"), link(silent.port, "b", timeout=f"{int(timeout * 1000)}ms")],
                                [device("good", "a", every="50ms"), device("dead", "b", every="50ms")]))
    wait_until(lambda: len(silent.requests) >= 4, 60, "some probes")
    wait_complete(account, "good", 40)
    times = [at for at, _, _ in good.requests]
    probes = [at for at, _, _ in silent.requests if times[0] < at and at + timeout < times[-1]]
    assert len(probes) >= 2, "nobody waited for the silent one meanwhile"
    assert max(b - a for a, b in zip(times, times[1:])) < timeout / 2
    assert quality_of(account, "dead", "polls")[0] in ("bad: timeout", "bad: offline")


def test_a_silent_unit_behind_a_gateway_costs_its_neighbours_one_timeout_for_each_probe(plant):
    broker = plant.broker()
    account = plant.account(broker)
    timeout = 0.3
    slave = plant.slave()
    slave.answer = lambda t, unit, pdu: None if unit == 5 else slave.good(t, unit, pdu)
    units = range(1, 11)
    plant.haywain(configuration([uplink(broker.port)], [link(slave.port, timeout=f"{int(timeout * 1000)}ms")],
                                [device(f"u{u}", unit=u, every="100ms") for u in units]))
    for unit in units:
        if unit != 5:
            wait_complete(account, f"u{unit}", 40)
    requests = list(slave.requests)
    probes = [at for at, unit, _ in requests if unit == 5]
    begin, end = requests[0][0], requests[-1][0]
    assert 2 <= len(probes) <= 3 + (end - begin) / 0.9, "offline after two failures, then ever longer pauses"
    for unit in units:
        times = [at for at, u, _ in requests if u == unit]
        if unit != 5:
            lost = (end - begin) / 0.1 - len(times)
            # a time-out may swallow timeout / period polls of each neighbour, and the reconnect one more
            assert lost <= len(probes) * (timeout / 0.1 + 1) + 6
    assert account.counts("u5") == []


def test_a_device_that_vanishes_is_reported_bad_once_and_comes_back(plant):
    broker = plant.broker()
    account = plant.account(broker)
    cards = plant.subscriber(broker, ("haywain/plant/device/#",), client_id="cards")
    slave = plant.slave()
    daemon = plant.haywain(configuration([uplink(broker.port)], [link(slave.port, timeout="200ms")], [device()]))
    wait_complete(account, "d1", 5)
    slave.answer = lambda *_: None
    daemon.wait_line("d1", "offline")
    wait_until(lambda: cards.messages[-1].json()["online"] is False, what="the card that says offline")
    assert cards.messages[-1].json()["reason"] == "timeout"
    bad = len(quality_of(account, "d1", "polls"))
    probes = len(slave.requests)
    wait_until(lambda: len(slave.requests) >= probes + 3, 60, "some probes")
    assert len(quality_of(account, "d1", "polls")) == bad and 1 <= bad <= 3
    online = len(daemon.log.lines)
    slave.answer = slave.good
    daemon.wait_line("d1", "online", timeout=60, start=online)
    wait_until(lambda: cards.messages[-1].json()["online"] is True, what="the card that says online")
    wait_complete(account, "d1", slave.counters[1] + 1)


def test_a_device_with_a_long_period_is_read_soon_after_a_start(plant):
    """It was read up to a whole period after each start; the gateway itself said "not heard yet" for a minute."""
    broker = plant.broker()
    account = plant.account(broker)
    modbus = plant.device(units=(1, 2, 3))
    names = [f"d{unit}" for unit in (1, 2, 3)]
    devices = [device(name, unit=unit, every="24h") for unit, name in enumerate(names, 1)]
    daemon = plant.haywain(configuration([uplink(broker.port)], [link(modbus.port)], devices))
    wait_until(lambda: all(account.samples.get(name) for name in [*names, "gateway"]), 60, "a sample of each")
    assert modbus.counts() == {1: 1, 2: 1, 3: 1}
    daemon.stop()
    daemon.start()
    wait_until(lambda: all(len(account.samples[name]) == 2 for name in names), 60, "another one after a restart")


FIVE = ", ".join(f'{{ name = "p{a}"; holding = {a}; }}' for a in (10, 20, 30, 40, 50))


def without(slave, *registers):
    """A device that stays silent where a request touches one of those registers."""
    def answer(transaction, unit, pdu):
        first, count = struct.unpack(">HH", pdu[1:5])
        return None if any(first <= r < first + count for r in registers) else slave.good(transaction, unit, pdu)
    return answer


def values_of(account, point, name="d1"):
    return [s["values"][point] for s in account.samples.get(name, []) if point in s["values"]]


def test_a_register_that_is_never_answered_costs_only_itself(plant):
    """It took the whole device away: its points were bad, the device offline, and no reading came for good."""
    broker = plant.broker()
    account = plant.account(broker)
    slave = plant.slave()
    slave.answer = without(slave, 30)
    daemon = plant.haywain(configuration([uplink(broker.port)], [link(slave.port, timeout="200ms")],
                                         [device(every="200ms", points=FIVE)]))
    wait_until(lambda: len(values_of(account, "p50")) >= 25, 60, "25 rounds")
    assert not daemon.said("offline")
    assert daemon.said("point p30", "bad: timeout", "the device goes on")
    assert not values_of(account, "p30")
    for address in (10, 20, 40, 50):
        assert set(values_of(account, f"p{address}")) == {address}
        assert len(quality_of(account, "d1", f"p{address}")) <= 1
    asked = [pdu for _, _, pdu in slave.requests if pdu[1:3] == b"\0\x1e"]
    assert len(asked) < len(values_of(account, "p50")) / 2, "it is asked less often than the others"
    slave.answer = slave.good
    wait_until(lambda: values_of(account, "p30"), 90, "the register that answers at last")


def test_a_device_with_a_silent_register_comes_back_from_a_reboot(plant):
    """The silent register is asked rarely, so all is well until the device is away once: then no reading came for good."""
    broker = plant.broker()
    account = plant.account(broker)
    slave = plant.slave()
    slave.answer = without(slave, 10)
    points = FIVE.replace('holding = 10;', 'holding = 10; every = "3s";')
    daemon = plant.haywain(configuration([uplink(broker.port)], [link(slave.port, timeout="200ms")],
                                         [device(every="200ms", points=points)]))
    wait_until(lambda: len(values_of(account, "p50")) >= 10, 60, "some rounds")
    slave.answer = lambda *_: None
    daemon.wait_line("d1", "offline")
    count = len(slave.requests)
    wait_until(lambda: len(slave.requests) >= count + 2, 60, "some probes")
    before = len(values_of(account, "p50"))
    slave.answer = without(slave, 10)
    daemon.wait_line("d1", "online again", timeout=30)
    wait_until(lambda: len(values_of(account, "p50")) >= before + 10, 60, "readings")


def test_a_device_that_refuses_everything_while_it_boots(plant):
    """One request a round became one for each register, for good, also after a restart."""
    broker = plant.broker()
    account = plant.account(broker)
    slave = plant.slave()
    points = ", ".join(f'{{ name = "p{a}"; holding = {a}; }}' for a in range(100, 160))
    daemon = plant.haywain(configuration([uplink(broker.port)], [link(slave.port)], [device(every="100ms", points=points)]))

    def per_round(rounds):
        done = len(values_of(account, "p159"))
        wait_until(lambda: len(values_of(account, "p159")) > done, 60, "a round")
        requests, done = len(slave.requests), len(values_of(account, "p159"))
        wait_until(lambda: len(values_of(account, "p159")) >= done + rounds, 60, "some rounds")
        return (len(slave.requests) - requests) / rounds

    assert per_round(10) < 1.5
    slave.answer = lambda t, unit, pdu: slave.frame(t, unit, bytes([pdu[0] | 0x80, 2]))
    wait_until(lambda: len(quality_of(account, "d1", "p159")) >= 10, 60, "rounds of refusals")
    slave.answer = slave.good
    wait_until(lambda: "p159" in account.samples["d1"][-1]["values"], 60, "values again")
    assert per_round(10) < 1.5
    daemon.stop()
    daemon.start()
    assert per_round(10) < 1.5


def late(slave):
    """Answers every seventh request after the time-out, when the next one may be under way."""
    state = {"n": 0}

    def answer(transaction, unit, pdu):
        state["n"] += 1
        reply = slave.good(transaction, unit, pdu)
        if state["n"] % 7 == 0:
            threading.Event().wait(0.35)
        return reply
    return answer


def every_seventh(slave, wrong):
    state = {"n": 0}

    def answer(transaction, unit, pdu):
        state["n"] += 1
        reply = slave.good(transaction, unit, pdu)
        return wrong(reply) if state["n"] % 7 == 0 else reply
    return answer


WRONG = {
    "another transaction": lambda r: struct.pack(">H", (struct.unpack(">H", r[:2])[0] + 77) & 0xFFFF) + r[2:],
    "too short": lambda r: r[:9],
    "garbage": lambda r: b"\xff\x00garbage that is no Modbus\r\n" * 3,
    "another unit": lambda r: r[:6] + bytes([r[6] + 1]) + r[7:],
    "another function": lambda r: r[:7] + bytes([r[7] ^ 7]) + r[8:],
    "a byte count that lies": lambda r: r[:8] + b"\x02" + r[9:],
}


@pytest.mark.parametrize("fault", ["late", *WRONG])
def test_a_wrong_answer_is_never_taken_for_a_value(plant, fault):
    """Two registers of which each has its own value: a mix-up shows."""
    broker = plant.broker()
    account = plant.account(broker)
    slave = plant.slave()
    slave.answer = late(slave) if fault == "late" else every_seventh(slave, WRONG[fault])
    points = COUNTER + ', { name = "a"; holding = 1000; }, { name = "b"; holding = 2000; }'
    plant.haywain(configuration([uplink(broker.port)], [link(slave.port, timeout="250ms", more="retries = 0;")],
                                [device(points=points)]))
    wait_until(lambda: len([s for s in account.samples.get("d1", []) if "b" in s["values"]]) >= 5, 60, "good samples")
    wait_until(lambda: any("quality" in s for s in account.samples["d1"]), 60, "bad ones")
    previous = 0
    for sample in account.samples["d1"]:
        values = sample["values"]
        assert values.get("a", 1000) == 1000 and values.get("b", 2000) == 2000
        if "polls" in values:
            assert values["polls"] > previous, "an old answer"
            previous = values["polls"]


def test_a_slave_that_closes_after_each_answer(plant):
    broker = plant.broker()
    account = plant.account(broker)
    slave = plant.slave()
    slave.answer = slave.good

    def closing(s, _serve=slave._serve):
        data = s.recv(4096)
        if data:
            slave.requests.append((time.monotonic(), data[6], data[7:]))
            s.sendall(slave.good(int.from_bytes(data[:2], "big"), data[6], data[7:]))
        s.close()

    slave._serve = closing
    plant.haywain(configuration([uplink(broker.port)], [link(slave.port)], [device(every="200ms")]))
    wait_until(lambda: len(account.counts("d1")) >= 5, 60, "five samples in spite of it")


def test_the_gateway_starts_while_nothing_is_there(plant):
    """Neither broker nor device: both come later."""
    broker = plant.broker(start=False)
    modbus = plant.device()
    modbus.stop()
    daemon = plant.haywain(configuration([uplink(broker.port)], [link(modbus.port)], [device()]))
    daemon.wait_line("cloud", "again")
    daemon.wait_line("bus", "refused")
    broker.start()
    account = plant.account(broker)
    modbus.start()
    wait_until(lambda: len(account.counts("d1")) >= 10, 60, "samples")


def test_report_rules(plant):
    broker = plant.broker()
    account = plant.account(broker)
    modbus = plant.device()
    modbus.order(set=[1, 10, [100]])
    points = COUNTER + ', { name = "still"; holding = 10; report: { deadband = 5; max_interval = "1s"; }; }'
    plant.haywain(configuration([uplink(broker.port)], [link(modbus.port)], [device(every="50ms", points=points)]))
    wait_complete(account, "d1", 30)
    modbus.order(set=[1, 10, [104]])
    count = modbus.counts()[1]
    wait_complete(account, "d1", count + 5)
    modbus.order(set=[1, 10, [111]])
    count = modbus.counts()[1]
    wait_complete(account, "d1", count + 30)
    reported = [s for s in account.samples["d1"] if "still" in s["values"]]
    assert reported[0]["values"]["polls"] == 1
    assert 111 in [s["values"]["still"] for s in reported]
    # max_interval sends unmoved values again, but only about once a second
    assert 2 <= len(reported) <= 3 + (account.samples["d1"][-1]["ts"] - account.samples["d1"][0]["ts"]) / 900
