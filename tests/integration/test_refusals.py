# SPDX-License-Identifier: Apache-2.0
"""Brokers that refuse, and certificates that are not right: said in words, tried again, nothing lost."""
import os
import socket
import threading

import pytest
from broker import Broker
from conftest import COUNTER, configuration, device, link, uplink, wait_complete
from processes import wait_until
from test_api import ask, get


def tls_uplink(broker, ca, host="localhost"):
    return uplink(broker.tls_port, host=host, scheme="mqtts", more=f'tls: {{ ca_file = "{ca}"; }};')


@pytest.mark.parametrize("what, hosts, period, words", [
    ("expired", ("localhost", "127.0.0.1"), ("20200101000000Z", "20200202000000Z"), ("expired",)),
    ("not yet valid", ("localhost", "127.0.0.1"), ("20600101000000Z", "20610101000000Z"), ("valid from",)),
    ("another host's", ("elsewhere.example",), (None, None), ("host",)),
])
def test_a_wrong_certificate_is_refused_with_the_reason_and_healed_without_a_restart(plant, what, hosts, period, words):
    wrong = plant.ca.issue("wrong", hosts, *period)
    broker = plant.broker(tls=True, start=False)
    right, broker.certificate = broker.certificate, wrong
    broker.start()
    modbus = plant.device()
    daemon = plant.haywain(configuration([tls_uplink(broker, plant.ca.file)], [link(modbus.port)], [device()]))
    daemon.wait_line("cloud", *words, "again")
    wait_until(lambda: modbus.counts()[1] > 20, what="polling to go on")
    assert "CONNECT" not in broker.log().replace("CONNECTION", "")
    account = plant.account(broker)
    broker.stop()
    broker.certificate = right
    broker.start()
    wait_complete(account, "d1", 20)


def test_a_ca_that_nobody_trusts_is_refused(plant):
    broker = plant.broker(tls=True)
    stranger = plant.authority("Stranger")
    modbus = plant.device()
    daemon = plant.haywain(configuration([tls_uplink(broker, stranger.file)], [link(modbus.port)], [device()]))
    daemon.wait_line("cloud", "certificate", "again")


def test_a_refused_login_is_said_and_mended(plant):
    broker = plant.broker(users={"plant": "right", "reader": "reader"})
    account = plant.account(broker, username="reader", password="reader")
    modbus = plant.device()
    daemon = plant.haywain(configuration(
        [uplink(broker.port, more='username = "plant"; password_file = "password";')], [link(modbus.port)], [device()]),
        start=False)
    secret = daemon.dir + "/password"
    with open(secret, "w", encoding="ascii") as f:
        f.write("wrong\n")
    daemon.start()
    daemon.wait_line("cloud", "authori", "again")
    with open(secret, "w", encoding="ascii") as f:
        f.write("right\n")
    wait_complete(account, "d1", 20)


def test_an_unreadable_secret_is_said_and_mended(plant):
    broker = plant.broker(users={"plant": "right", "reader": "reader"})
    account = plant.account(broker, username="reader", password="reader")
    modbus = plant.device()
    daemon = plant.haywain(configuration(
        [uplink(broker.port, more='username = "plant"; password_file = "password";')], [link(modbus.port)], [device()]))
    daemon.wait_line("cloud", "password", "No such file", "again")
    status, output = daemon.check()
    assert status == 0 and "password" in output
    with open(daemon.dir + "/password", "w", encoding="ascii") as f:
        f.write("right\n")
    wait_complete(account, "d1", 20)


@pytest.mark.parametrize("version", [5])
def test_a_denied_topic_loses_nothing(plant, version):
    own = "topic readwrite haywain/plant/status\ntopic readwrite haywain/plant/device/#\ntopic readwrite haywain/plant/event\n"
    reader = "user reader\ntopic read #\n"
    broker = plant.broker(acl=own + reader, users={"reader": "reader", "plant": "plant"})
    broker.users_file, users = None, broker.users_file
    broker.extra = f"password_file {users}"
    broker.stop()
    broker.start()
    account = plant.account(broker, username="reader", password="reader")
    modbus = plant.device()
    daemon = plant.haywain(configuration([uplink(broker.port, more=f"version = {version};")], [link(modbus.port)], [device()]))
    daemon.wait_line("cloud", "authori")
    wait_until(lambda: modbus.counts()[1] > 40, what="polling to go on")
    assert account.distinct() == 0
    broker.set_acl(own + "topic readwrite haywain/plant/data/#\n" + reader)
    broker.reload()
    wait_complete(account, "d1", modbus.counts()[1])
    assert account.out_of_order("d1") == []


def test_a_session_that_is_taken_over_loses_nothing(plant):
    """mosquitto of Debian 12 only hangs up; a broker that gives the reason (0x8e) is played in the units."""
    broker = plant.broker()
    account = plant.account(broker)
    modbus = plant.device()
    daemon = plant.haywain(configuration([uplink(broker.port)], [link(modbus.port)], [device()]))
    wait_complete(account, "d1", 5)
    thief = plant.subscriber(broker, ("nothing",), client_id="plant")
    daemon.wait_line("cloud", "connection lost", "again")
    thief.close()
    wait_complete(account, "d1", modbus.counts()[1])


class Hangup:
    """Passes an MQTT connection through and cuts it after each message of the client to a data topic."""

    def __init__(self, port):
        self.target = port
        self.cuts = 0
        self.mended = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        server = socket.create_connection(("127.0.0.1", self.target))
        threading.Thread(target=self._back, args=(server, client), daemon=True).start()
        try:
            while True:
                data = client.recv(65536)
                if not data:
                    break
                server.sendall(data)
                if b"/data/" in data and not self.mended:
                    self.cuts += 1
                    break
        except OSError:
            pass
        for s in (client, server):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            s.close()

    @staticmethod
    def _back(server, client):
        try:
            while True:
                data = server.recv(65536)
                if not data:
                    return
                client.sendall(data)
        except OSError:
            pass

    def close(self):
        self._listener.close()


def test_a_broker_that_closes_after_each_message(plant):
    """It is no fault of a message that many went down with: nothing may be dropped while several are in flight."""
    broker = plant.broker()
    account = plant.account(broker)
    hangup = Hangup(broker.port)
    plant.defer(hangup.close)
    modbus = plant.device()
    daemon = plant.haywain(configuration([uplink(hangup.port)], [link(modbus.port)], [device()]))
    wait_until(lambda: hangup.cuts >= 2, 60, "two cuts")
    hangup.mended = True
    count = modbus.counts()[1]
    wait_until(lambda: account.counts("d1") and max(account.counts("d1")) >= count, 60, "the newest")
    wait_complete(account, "d1", count)
    assert "drop" not in daemon.log.text(), daemon.log.text()


def test_one_denied_device_of_three_stops_only_itself(plant):
    """A device was added and its ACL line forgotten: mosquitto answers its messages with 0x87, and Debian 12's hangs up as well."""
    own = "".join(f"topic readwrite haywain/plant/{t}\n" for t in ("status", "device/#", "event", "data/d1", "data/d3"))
    reader = "user reader\ntopic read #\n"
    users = {"reader": "reader", "plant": "plant"}
    broker = plant.broker(acl="user plant\n" + own + reader, users=users)
    account = plant.account(broker, username="reader", password="reader")
    modbus = plant.device(units=(1, 2, 3))
    daemon = plant.haywain(configuration(
        [uplink(broker.port, more='username = "plant"; password_file = "password";')], [link(modbus.port)],
        [device(f"d{n}", unit=n) for n in (1, 2, 3)]), start=False)
    with open(daemon.dir + "/password", "w", encoding="ascii") as f:
        f.write("plant\n")
    daemon.start()
    line = daemon.wait_line("cloud", "haywain/plant/data/d2", "not authorized")
    assert "nothing is lost" in line
    before = max(account.counts("d1"), default=0)
    wait_until(lambda: all(max(account.counts(d), default=0) > before + 30 for d in ("d1", "d3")), 60, "the others")
    assert not account.counts("d2")
    assert daemon.log.text().count("data/d2") == 1, daemon.log.text()
    broker.set_acl("user plant\n" + own + "topic readwrite haywain/plant/data/d2\n" + reader)
    broker.reload()
    wait_complete(account, "d2", modbus.counts()[2], 120)
    assert [account.out_of_order(d) for d in ("d1", "d2", "d3")] == [[], [], []]
    assert "drop" not in daemon.log.text(), daemon.log.text()


CONNECT, PUBLISH, SUBSCRIBE = 1, 3, 8


@pytest.mark.parametrize("version", [5, 311])
def test_a_policy_for_the_data_topics_only(plant, version):
    """AWS IoT, EMQX with deny_action = disconnect, aedes: what a policy does not allow is answered by hanging up. Readings go on
    within a few connections, the rest is given up as a whole, whatever the number of devices is, and nothing is dropped."""
    connects = []

    def policy(kind, packet):
        if kind == CONNECT:
            connects.append(packet)
        if kind == SUBSCRIBE or (kind == PUBLISH and b"/data/" not in packet[:64]):
            raise ConnectionError
        return True

    broker = plant.broker()
    account = plant.account(broker)
    relay = plant.relay(broker.port, up=policy)
    units = tuple(range(1, 11))
    modbus = plant.device(units=units)
    points = '{ name = "polls"; holding = 0; type = "uint32"; }, { name = "setpoint"; holding = 40; access = "write"; }'
    daemon = plant.haywain(configuration([uplink(relay.port, more=f"version = {version}; commands = true;")], [link(modbus.port)],
                                         [device(f"d{n}", unit=n, points=points) for n in units]))
    wait_until(account.distinct, 60, "the first reading")
    assert len(connects) <= 4
    daemon.wait_line("cloud", "given up", "readings continue")
    daemon.wait_line("cloud", "subscribe to commands", "no commands are received")
    count = len(connects)
    assert count <= 9
    for n in units:
        wait_complete(account, f"d{n}", modbus.counts()[n])
    assert len(connects) <= count + 1
    assert account.out_of_order("d1") == []
    assert "drop" not in daemon.log.text(), daemon.log.text()


def test_nobody_is_subscribed(plant):
    """MQTT 5: a broker acknowledges what goes to nobody, and says so (0x10). It counts as delivered, and is not silent."""
    broker = plant.broker()
    modbus = plant.device()
    daemon = plant.haywain(start=False)
    daemon.api = os.path.join(daemon.dir, "api.sock")
    daemon.configure(configuration([uplink(broker.port)], [link(modbus.port)], [device()],
                                   rest=f'api: {{ socket = "{daemon.api}"; }};\n'))
    daemon.start()
    daemon.wait_line("no client is subscribed to haywain/plant/data/d1", "the broker acknowledges the readings and discards them")
    state = get(daemon, "/v1/status")["uplinks"][0]
    assert state["state"] == "connected" and "no client is subscribed" in state["reason"] and state["no_subscribers"] > 0
    metrics = ask(daemon.api, "GET", "/metrics")[1].decode()
    assert 'haywain_uplink_no_subscribers_total{uplink="cloud"} 0' not in metrics
    assert 'haywain_uplink_no_subscribers_total{uplink="cloud"} ' in metrics
    account = plant.account(broker)
    wait_until(account.distinct, what="a reading")
    count = get(daemon, "/v1/status")["uplinks"][0]["no_subscribers"]
    last = account.distinct()
    wait_until(lambda: account.distinct() > last + 20, what="more readings")
    assert get(daemon, "/v1/status")["uplinks"][0]["no_subscribers"] == count
    assert daemon.log.text().count("no client is subscribed") == 1


def test_a_card_larger_than_the_broker_takes_is_said(plant):
    """mosquitto's max_packet_size: the card of a device with many points never goes up, and its readings do."""
    broker = plant.broker(extra="max_packet_size 2000")
    account = plant.account(broker)
    modbus = plant.device()
    points = COUNTER + "".join(f', {{ name = "point_number_{i}"; holding = {i}; report: {{ deadband = 100000; }}; }}'
                               for i in range(2, 60))
    daemon = plant.haywain(configuration([uplink(broker.port)], [link(modbus.port)], [device(points=points)]))
    daemon.wait_line("haywain/plant/device/d1", "is not sent", "2000")
    wait_complete(account, "d1", 20)
    assert daemon.log.text().count("is not sent") == 1
