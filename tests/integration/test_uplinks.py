# SPDX-License-Identifier: Apache-2.0
"""What an uplink promises beyond the plain way: drops told exactly, batches, backlogs at a rate, topics, TLS details."""
import os
import re

from conftest import ASAN, COUNTER, configuration, device, link, uplink, wait_complete
from processes import wait_until
from relay import PUBACK, PUBLISH

WIDE = COUNTER + "".join(f', {{ name = "p{i}"; holding = {i}; }}' for i in range(2, 80))


def events(subscriber, name):
    return [m.json() for m in list(subscriber.messages) if m.topic.endswith("/event") and m.json()["event"] == name]


def test_when_full_the_newest_is_dropped_and_told_once_for_all_devices_after_a_restart(plant):
    broker = plant.broker()
    account = plant.account(broker)
    told = plant.subscriber(broker, ("haywain/plant/event",), client_id="events")
    slave = plant.slave()
    names = {1: "d1", 2: "d2"}
    daemon = plant.haywain(configuration([uplink(broker.port)], [link(slave.port)],
                                         [device(n, unit=u, every="5ms", points=WIDE) for u, n in names.items()],
                                         queue='max_size = "1MB"; memory = "256KB"; when_full = "drop-newest";'))
    for name in names.values():
        wait_complete(account, name, 5)
    broker.stop()
    daemon.wait_line("max_size", "dropped", timeout=120)
    begin = slave.counters[1]
    wait_until(lambda: slave.counters[1] > begin + 100, 60, "more polls")
    daemon.stop()
    last = dict(slave.counters)  # the very last poll may have been answered and not taken
    broker.start()
    daemon.start()
    wait_until(lambda: events(told, "dropped"), what="the event")
    for unit, name in names.items():
        wait_until(lambda u=unit, n=name: max(account.counts(n)) > last[u] + 10, 60, "samples of the second run")
    missing = 0
    for unit, name in names.items():
        gone = set(range(1, last[unit])) - set(account.counts(name))
        # Once it is full, whole commits go; the last one, cut short by the end, may be small enough for the room left.
        assert gone and gone == set(range(min(gone), max(gone) + 1)), "only the newest may go"
        missing += len(gone)
        assert account.out_of_order(name) == []
    assert len(events(told, "dropped")) == 1
    assert events(told, "dropped")[0]["reason"] == "queue full"
    extra = sum(last[u] not in account.counts(n) for u, n in names.items())
    assert missing <= events(told, "dropped")[0]["samples"] <= missing + extra


def test_what_the_broker_never_takes_is_dropped_and_told_and_the_rest_goes_on(plant):
    broker = plant.broker(extra="max_packet_size 600")
    account = plant.account(broker)
    told = plant.subscriber(broker, ("haywain/plant/event",), client_id="events")
    slave = plant.slave()
    daemon = plant.haywain(configuration([uplink(broker.port)], [link(slave.port)],
                                         [device("small", every="50ms"), device("wide", unit=2, points=WIDE)]))
    wait_complete(account, "small", 10)
    line = daemon.wait_line("haywain/plant/data/wide", "dropped and counted")
    assert "larger than the broker accepts" in line
    wait_until(lambda: slave.counters[2] > 5, what="some that are too large")
    daemon.stop()
    broker.stop()
    broker.extra = ""
    broker.start()
    daemon.start()
    wait_until(lambda: max(account.counts("wide"), default=0) > slave.counters[2] - 1, what="a large one that passes")
    wait_until(lambda: events(told, "dropped"), what="the event")
    counts = account.counts("wide")
    assert sum(e["samples"] for e in events(told, "dropped")) in (min(counts) - 1, min(counts) - 2)
    assert {e["reason"] for e in events(told, "dropped")} == {"refused"}
    assert len(events(told, "dropped")) <= 2


def test_a_backlog_drains_at_its_rate_on_top_of_the_live_traffic(plant):
    """Counted in polls, not in seconds: 120 samples at 40/s take as long as some 60 polls at 20/s."""
    broker = plant.broker()
    account = plant.account(broker)
    slave = plant.slave()
    plant.haywain(configuration([uplink(broker.port, more='replay_rate = "40/s";')], [link(slave.port)],
                                [device(every="50ms")]))
    wait_complete(account, "d1", 5)
    broker.stop()
    begin = slave.counters[1]
    wait_until(lambda: slave.counters[1] >= begin + 120, 60, "a backlog")
    broker.start()
    wait_until(lambda: max(account.counts("d1")) > begin + 2, what="the first of the backlog", step=0.002)
    start, end = slave.counters[1], begin + 120
    wait_complete(account, "d1", end)
    live = slave.counters[1] - start
    assert 20 <= live <= 300, f"{live} polls while {end - begin} samples drained"
    # and then it catches up: live samples do not queue behind the rate
    wait_complete(account, "d1", slave.counters[1] + 20)
    assert account.out_of_order("d1") == []


def test_a_backlog_fills_whole_batches(plant):
    broker = plant.broker()
    account = plant.account(broker)
    raw = plant.subscriber(broker, ("haywain/plant/data/#",), client_id="raw")
    slave = plant.slave()
    plant.haywain(configuration([uplink(broker.port, more="batch = 25;")], [link(slave.port)],
                                [device(every="20ms"), device("d2", unit=2, every="20ms")]))
    wait_complete(account, "d1", 10)
    live = len(raw.messages)
    assert max(len(m.json()) for m in raw.messages[:5]) < 25, "what waits goes at once"
    broker.stop()
    begin = slave.counters[1]
    wait_until(lambda: slave.counters[1] > begin + 150, what="a backlog")
    broker.start()
    wait_complete(account, "d1", slave.counters[1])
    wait_complete(account, "d2", slave.counters[2])
    sizes = [len(m.json()) for m in raw.messages[live:]]
    assert sizes.count(25) >= 6 and max(sizes) == 25
    for m in raw.messages:
        assert {s["device"] for s in m.json()} == {m.topic.rsplit("/", 1)[1]}
    assert account.out_of_order("d1") == [] == account.out_of_order("d2")


def test_the_broker_sees_the_version_the_keepalive_and_the_quality_that_were_asked_for(plant):
    broker = plant.broker()
    slave = plant.slave()
    accounts = [plant.account(broker, prefix=p, client_id=p) for p in ("old", "zero")]
    plant.haywain(configuration(
        [uplink(broker.port, "old", more='version = 311; client_id = "c-old"; prefix = "old/{gateway}"; keepalive = "45s";'),
         uplink(broker.port, "zero", more='qos = 0; client_id = "c-zero"; prefix = "zero/{gateway}";')],
        [link(slave.port)], [device()]))
    for account in accounts:
        wait_until(lambda a=account: len(a.counts("d1")) >= 5, what="samples")
    log = broker.log()
    assert "as c-old (p2, c1, k45)" in log and "as c-zero (p5," in log, log
    assert "PUBLISH from c-old (d0, q1, r0" in log and "PUBLISH from c-zero (d0, q0, r0" in log
    assert not re.search(r"PUBLISH from c-zero \(d., q1, r., m\d+, 'zero/plant/data", log)


def test_topics_with_tags_and_a_prefix_for_each_uplink(plant):
    broker = plant.broker()
    everything = plant.subscriber(broker, client_id="everything")
    slave = plant.slave()
    plant.haywain(configuration(
        [uplink(broker.port, "a", more='client_id = "a"; prefix = "site/a"; topic = "{prefix}/{room}/{device}/{link}";'),
         uplink(broker.port, "b", more='client_id = "b"; prefix = "b/{gateway}";')],
        [link(slave.port)],
        [device("one", more='tags: { room = "cellar"; };'), device("two", unit=2, more='tags: { room = "attic"; };')]))
    want = {"site/a/cellar/one/bus", "site/a/attic/two/bus", "site/a/status", "site/a/device/one", "site/a/event",
            "b/plant/data/one", "b/plant/data/two", "b/plant/status", "b/plant/device/two"}
    wait_until(lambda: want <= {m.topic for m in list(everything.messages)},
               what=lambda: f"all topics; got {sorted({m.topic for m in everything.messages})}")
    assert all(m.topic.startswith(("site/a/", "b/plant/")) for m in everything.messages)
    for m in everything.messages:
        if m.topic.endswith("/bus"):
            assert m.json()["device"] == m.topic.split("/")[3]


def test_written_through_nothing_is_published_that_is_not_on_disk(plant):
    """The broker has them, its acknowledgements never come, and the window of `behind` would be a minute: whatever was
    published before the kill comes again after it, under the same number."""
    broker = plant.broker()
    account = plant.account(broker)
    relay = plant.relay(broker.port, down=lambda kind, _: kind != PUBACK)
    slave = plant.slave()
    text = configuration([uplink(relay.port)], [link(slave.port)], [device(every="20ms")],
                         queue='write = "through"; commit = "60s";')
    daemon = plant.haywain(text)
    wait_until(lambda: account.distinct() >= 60, what="samples at the broker", step=0.002)
    daemon.kill()
    # What was on its way arrives; only then is it known what was published.
    relay.cut()
    probe = plant.subscriber(broker, ("probe",), client_id="probe")
    probe.publish("haywain/plant/data/probe", '{"device":"probe","seq":0,"values":{}}')
    wait_until(lambda: "probe" in account.samples, what="all that was on its way")
    published = {s["seq"]: s["values"]["polls"] for s in account.samples["d1"]}
    before = len(account.samples["d1"])
    daemon.configure(text.replace(str(relay.port), str(broker.port))).start()
    wait_until(lambda: len(account.samples["d1"]) > before + len(published), what="the second run")
    again = {s["seq"]: s["values"]["polls"] for s in account.samples["d1"][before:]}
    assert {seq: again.get(seq) for seq in published} == published
    assert account.out_of_order("d1") == []


def test_a_broker_that_acknowledges_and_hangs_up_each_time_loses_nothing(plant):
    broker = plant.broker()
    account = plant.account(broker)
    state = {"data": set(), "cuts": 0, "mended": False}

    def up(kind, packet):
        if kind == PUBLISH and b"/data/" in packet:
            size = packet.index(b"haywain")  # behind the length of the topic; the message's number follows the topic
            end = size + int.from_bytes(packet[size - 2:size], "big")
            state["data"].add(packet[end:end + 2])
        return True

    def down(kind, packet):
        if state.pop("acknowledged", False) and not state["mended"]:
            state["cuts"] += 1
            state["data"].clear()
            raise ConnectionError
        state["acknowledged"] = kind == PUBACK and packet[2:4] in state["data"]
        return True

    relay = plant.relay(broker.port, up, down)
    slave = plant.slave()
    daemon = plant.haywain(configuration([uplink(relay.port, more="inflight = 4;")], [link(slave.port)], [device()]))
    wait_until(lambda: state["cuts"] >= 4, 60, "four cuts")
    state["mended"] = True
    wait_complete(account, "d1", slave.counters[1])
    assert not daemon.said("dropped")
    assert account.out_of_order("d1") == []
    assert account.twice() <= 4 * state["cuts"]


def test_the_protocol_that_alpn_asks_for(plant):
    broker = plant.broker()
    account = plant.account(broker)
    relay = plant.relay(broker.port, certificate=plant.ca.issue("relay"), protocols=("http/1.1", "x-amzn-mqtt-ca"))
    slave = plant.slave()
    plant.haywain(configuration([uplink(relay.port, host="localhost", scheme="mqtts",
                                        more=f'tls: {{ ca_file = "{plant.ca.file}"; alpn = "x-amzn-mqtt-ca"; }};')],
                                [link(slave.port)], [device()]))
    wait_complete(account, "d1", 5)
    assert set(relay.chosen) == {"x-amzn-mqtt-ca"}


def test_sigterm_while_the_broker_is_silent_keeps_what_it_has_not_acknowledged(plant):
    broker = plant.broker()
    account = plant.account(broker)
    slave = plant.slave()
    daemon = plant.haywain(configuration([uplink(broker.port)], [link(slave.port)], [device(every="20ms")],
                                         queue='commit = "60s";'))
    wait_complete(account, "d1", 10)
    broker.freeze()
    count = slave.counters[1]
    wait_until(lambda: slave.counters[1] > count + 50, what="polls")
    daemon.stop()
    last = slave.counters[1]
    broker.thaw()
    daemon.start()
    wait_complete(account, "d1", last - 1)
    assert account.out_of_order("d1") == []


def resident_kb(daemon):
    with open(f"/proc/{daemon.process.pid}/status", encoding="ascii") as f:
        return int(next(l for l in f if l.startswith("VmRSS")).split()[1])


def test_many_connections_leave_no_descriptors_and_no_memory_behind(plant):
    broker = plant.broker()
    account = plant.account(broker)
    relay = plant.relay(broker.port, certificate=plant.ca.issue("relay"))
    slave = plant.slave()
    daemon = plant.haywain(configuration([uplink(relay.port, host="localhost", scheme="mqtts",
                                                 more=f'tls: {{ ca_file = "{plant.ca.file}"; }};')],
                                         [link(slave.port)], [device(every="20ms")]))

    def again(times):
        for _ in range(times):
            wait_complete(account, "d1", slave.counters[1])
            connections = relay.connections
            relay.cut()
            wait_until(lambda: relay.connections > connections, what="another connection")
        wait_complete(account, "d1", slave.counters[1])
        return len(os.listdir(f"/proc/{daemon.process.pid}/fd")), resident_kb(daemon)

    wait_complete(account, "d1", 10)
    first, kilobytes = again(5)
    again(15)
    wait_until(lambda: len(os.listdir(f"/proc/{daemon.process.pid}/fd")) <= first, 20, "as few descriptors as before")
    assert ASAN or resident_kb(daemon) <= kilobytes + 1024
