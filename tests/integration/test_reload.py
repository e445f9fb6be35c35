# SPDX-License-Identifier: Apache-2.0
"""SIGHUP: only what changed is started anew; a file that is wrong leaves what runs untouched."""
import os

from conftest import COUNTER, configuration, device, link, uplink, wait_complete
from processes import wait_until


def test_an_unchanged_link_keeps_its_connection_and_its_neighbours_may_come_and_go(plant):
    broker = plant.broker()
    account = plant.account(broker)
    cards = plant.subscriber(broker, ("haywain/plant/device/#",), client_id="cards")
    one, two = plant.slave(), plant.slave()

    def text(*devices):
        return configuration([uplink(broker.port)], [link(one.port, "one"), link(two.port, "two")], devices)

    first, second = device("first", "one"), device("second", "two", unit=2)
    daemon = plant.haywain(text(first, second))
    wait_complete(account, "first", 5)
    wait_complete(account, "second", 5)
    connects = broker.log().count("New client connected")

    daemon.reload(text(first, second, device("third", "two", unit=3)))  # added
    wait_complete(account, "third", 5)
    daemon.reload(text(first, device("third", "two", unit=3)))  # removed
    count = two.counters[2]
    wait_until(lambda: any(m.topic == "haywain/plant/device/second" and not m.payload for m in cards.messages),
               what="the retained card of the removed device to be cleared")
    wait_complete(account, "first", one.counters[1] + 10)
    assert two.counters[2] <= count + 1
    extra = COUNTER + ', { name = "level"; holding = 4; }'
    daemon.reload(text(device("first", "one", points=extra), device("third", "two", unit=3)))  # changed
    wait_until(lambda: "level" in account.samples["first"][-1]["values"], what="the new point")
    for _ in range(3):
        daemon.reload()
    wait_complete(account, "third", two.counters[3] + 5)
    assert (one.connections, two.connections) == (1, 1)
    assert broker.log().count("New client connected") == connects, "the uplink was not touched"
    for name in ("first", "third"):
        assert account.out_of_order(name) == []
        counts = account.counts(name)
        assert len(set(range(1, max(counts) + 1)) - set(counts)) <= (1 if name == "first" else 0)


def test_a_changed_link_is_opened_anew(plant):
    broker = plant.broker()
    account = plant.account(broker)
    one, two = plant.slave(), plant.slave()

    def text(port, timeout):
        return configuration([uplink(broker.port)], [link(port, timeout=timeout)], [device()])

    daemon = plant.haywain(text(one.port, "500ms"))
    wait_complete(account, "d1", 5)
    daemon.reload(text(two.port, "500ms"))
    wait_until(lambda: two.counters.get(1, 0) > 5, what="polls at the new address")
    count = one.counters[1]
    daemon.reload(text(two.port, "400ms"))
    wait_until(lambda: two.connections == 2, what="a new connection")
    assert one.counters[1] == count


def test_a_bad_file_keeps_what_runs(plant):
    broker = plant.broker()
    account = plant.account(broker)
    slave = plant.slave()
    good = configuration([uplink(broker.port)], [link(slave.port)], [device()])
    daemon = plant.haywain(good)
    wait_complete(account, "d1", 5)
    for wrong in (good + "devices: (;\n", good.replace('commit', 'comit').replace('path = "queue.db";', 'pth = "x";'),
                  good.replace("mqtt://", "http://")):
        begin = len(daemon.log.lines)
        daemon.reload(wrong)
        daemon.wait_line("haywain.conf:", start=begin)
        wait_complete(account, "d1", slave.counters[1] + 5)
    # a device that has become wrong keeps its last good form
    begin = len(daemon.log.lines)
    daemon.reload(good.replace('every = "100ms"', 'every = "soon"'))
    daemon.wait_line("haywain.conf:", "every", start=begin)
    wait_complete(account, "d1", slave.counters[1] + 5)
    assert slave.connections == 1
    daemon.reload(good)
    wait_complete(account, "d1", slave.counters[1] + 5)


def test_a_file_in_conf_d_that_does_not_parse_keeps_its_devices(plant):
    broker = plant.broker()
    account = plant.account(broker)
    slave = plant.slave()
    daemon = plant.haywain(configuration([uplink(broker.port)], [link(slave.port)], [device()]), start=False)
    folder = os.path.join(daemon.dir, "conf.d")
    os.mkdir(folder)
    extra = os.path.join(folder, "extra.conf")
    with open(extra, "w", encoding="ascii") as f:
        f.write("devices: (\n" + device("d2", unit=2) + "\n);\n")
    daemon.start()
    wait_complete(account, "d2", 5)
    with open(extra, "w", encoding="ascii") as f:
        f.write("devices: ( { name = \n")
    daemon.reload()
    daemon.wait_line("extra.conf:")
    wait_complete(account, "d2", slave.counters[2] + 10)
    wait_complete(account, "d1", slave.counters[1] + 10)
    os.unlink(extra)
    daemon.reload()
    count = slave.counters[2]
    wait_complete(account, "d1", slave.counters[1] + 10)
    assert slave.counters[2] <= count + 1


def test_uplinks_come_and_go(plant):
    one, two = plant.broker(), plant.broker()
    first, second = plant.account(one), plant.account(two)
    slave = plant.slave()

    def text(*uplinks):
        return configuration(uplinks, [link(slave.port)], [device()])

    daemon = plant.haywain(text(uplink(one.port, "one")))
    wait_complete(first, "d1", 5)
    daemon.reload(text(uplink(one.port, "one"), uplink(two.port, "two")))
    wait_until(lambda: second.distinct() > 5, what="samples at the new uplink")
    assert min(second.counts("d1")) > 1, "a new uplink starts at now"
    begin = len(daemon.log.lines)
    daemon.reload(text(uplink(two.port, "two")))
    daemon.wait_line("one", start=begin)
    count = second.distinct()
    wait_until(lambda: second.distinct() > count + 10, what="samples at the uplink that stays")
    assert slave.connections == 1
    counts = second.counts("d1")
    assert set(range(min(counts), max(counts) + 1)) == set(counts)


def test_reloads_leak_nothing(plant):
    broker = plant.broker()
    account = plant.account(broker)
    slave = plant.slave()
    texts = [configuration([uplink(broker.port)], [link(slave.port)],
                           [device(every=f"{every}ms", points=COUNTER + f', {{ name = "p{every}"; holding = 9; }}')])
             for every in (50, 60)]
    daemon = plant.haywain(texts[0])
    wait_complete(account, "d1", 5)

    def descriptors():
        return len(os.listdir(f"/proc/{daemon.process.pid}/fd"))

    for text in texts * 2:
        daemon.reload(text)
    before = descriptors()
    for text in texts * 10:
        daemon.reload(text)
    wait_until(lambda: descriptors() <= before, 10, "the descriptors to be as many as before")


def test_a_device_that_goes_while_its_uplink_or_the_daemon_is_away_leaves_no_retained_topic(plant):
    """The uplink restarts in the same reload, and a second one goes from the file while nothing runs."""
    broker = plant.broker()
    account = plant.account(broker)
    slave = plant.slave()

    def text(*names, keepalive="30s"):
        return configuration([uplink(broker.port, more=f'keepalive = "{keepalive}"; ')], [link(slave.port)],
                             [device(name, unit=n + 1) for n, name in enumerate(names)])

    def retained():
        """What a client that comes now is told."""
        seen = plant.subscriber(broker, ("haywain/plant/device/#", "haywain/plant/end"), client_id="late")
        seen.publish("haywain/plant/end", b"")
        wait_until(lambda: any(m.topic == "haywain/plant/end" for m in seen.messages), what="the end")
        names = {m.topic.rsplit("/", 1)[1] for m in seen.messages if m.retained and m.payload}
        seen.close()
        return names - {"gateway"}

    daemon = plant.haywain(text("d1", "d2", "d3"))
    for name in ("d1", "d2", "d3"):
        wait_complete(account, name, 3)
    wait_until(lambda: retained() == {"d1", "d2", "d3"}, what="the cards")
    daemon.reload(text("d1", "d2", keepalive="31s"))
    wait_until(lambda: retained() == {"d1", "d2"}, what="the card of d3 to be cleared")
    daemon.stop()
    daemon.configure(text("d1", keepalive="31s"))
    daemon.start()
    wait_until(lambda: retained() == {"d1"}, what="the card of d2 to be cleared")
    # One that cannot be read now may come back: nothing is cleared for it.
    daemon.stop()
    daemon.configure(text("d1", keepalive="31s").replace("unit = 1", "unit = 1000"))
    daemon.start()
    wait_until(lambda: daemon.said("disabled until"), what="the line about d1")
    wait_until(lambda: daemon.said("connected to"), what="the connection")
    assert retained() == {"d1"}
