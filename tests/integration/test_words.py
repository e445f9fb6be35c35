# SPDX-License-Identifier: Apache-2.0
"""What a person meets in the log: each line says what, which, why, and what happens next."""
import os
import re
import stat
import subprocess

from conftest import configuration, device, link, uplink, wait_complete
from processes import wait_until


def reload(daemon, text):
    """The lines that one reload says."""
    begin = len(daemon.log.lines)
    daemon.reload(text)
    daemon.wait_line("reloaded:", start=begin)
    return [line.split(None, 2)[2] for _, line in daemon.log.lines[begin:]]


def test_a_reload_says_what_changed_and_what_did_not(plant):
    broker = plant.broker()
    account = plant.account(broker)
    slave = plant.slave()

    def text(uplinks=None, devices=None, own="false", **more):
        return configuration(uplinks or [uplink(broker.port)], [link(slave.port)], devices or [device(), device("d2", unit=2)],
                             rest=f'api: {{ socket = ""; }};\nself = {own};\n', **more)

    daemon = plant.haywain(text())
    wait_complete(account, "d1", 3)
    assert reload(daemon, text()) == ["reloaded: 0 devices started, 0 stopped, 2 as before"]
    lines = reload(daemon, text(queue='max_age = "5d"; write = "through";', own='"30s"'))
    assert "reloaded: 0 devices started, 0 stopped, 2 as before; queue.write, queue.max_age and self changed" in lines
    lines = reload(daemon, text([uplink(broker.port, more="inflight = 50;"), uplink(broker.port, "second", more='client_id = "s"; prefix = "s";')],
                                queue='max_age = "5d"; write = "through";'))
    assert [l for l in lines if l.startswith("reloaded:")] == \
        ["reloaded: 0 devices started, 0 stopped, 2 as before; uplink second added; uplink cloud changed; self changed"]
    # Mistakes: what ran stays, what did not is left out, and each is told apart.
    lines = reload(daemon, text(devices=[device(every="soon"), device("d2", unit=2), device("d3", unit=3, every="late")]))
    assert "device d1: has errors and stays as it was; the rest keeps running" in lines
    assert "device d3: has errors and is disabled until they are fixed; the rest keeps running" in lines
    assert [l for l in lines if l.startswith("reloaded:")] == \
        ["reloaded: 0 devices started, 0 stopped, 2 as before; uplink cloud changed; uplink second removed; "
         "queue.write and queue.max_age changed; 2 errors, logged above"]


def test_what_takes_a_restart_is_compared_with_what_runs(plant):
    text = configuration(rest='api: { socket = ""; };\n')
    daemon = plant.haywain(text)
    other = text.replace('"queue.db"', '"other.db"')
    warning = "queue.path changed; restart to apply it (still using queue.db)"
    assert warning in reload(daemon, other)
    assert warning in reload(daemon, other), "it is still another one"
    assert warning not in reload(daemon, text), "it is the one that runs"
    assert "api.socket changed; restart to apply it (the local API is still off)" in \
        reload(daemon, text.replace('socket = ""', 'socket = "api.sock"'))
    assert any(l.startswith("reloaded:") and "api.read_socket changed" in l for l in
               reload(daemon, text.replace('socket = ""', 'socket = "api.sock"; read_socket = "look.sock"'))), \
        "the summary said nothing of the socket for reading"


def test_a_gateway_that_is_renamed_leaves_nothing_behind(plant):
    broker = plant.broker()
    slave = plant.slave()
    text = configuration([uplink(broker.port)], [link(slave.port)], [device(f"d{n}", unit=n) for n in range(1, 41)])
    daemon = plant.haywain(text)

    def retained():
        done = subprocess.run(["mosquitto_sub", "-p", str(broker.port), "-t", "haywain/#", "--retained-only", "-F", "%t", "-W", "1"],
                              stdout=subprocess.PIPE, text=True, check=False)
        return sorted(done.stdout.split())

    def topics(gateway):
        return sorted([f"haywain/{gateway}/device/d{n}" for n in range(1, 41)] +
                      [f"haywain/{gateway}/device/gateway", f"haywain/{gateway}/status"])

    wait_until(lambda: retained() == topics("plant"), what="the retained topics of 40 devices")
    daemon.reload(text.replace('id = "plant"', 'id = "garden"'))
    daemon.wait_line("gateway.id changed")
    wait_until(lambda: retained() == topics("garden"), what="the old name's to be cleared")
    # Where nobody listens nothing can be cleared, and that is said.
    broker.stop()
    daemon.wait_line("no connection")
    daemon.reload(text.replace('id = "plant"', 'id = "yard"'))
    line = daemon.wait_line("was not connected while its topics were renamed")
    assert "uplink cloud" in line and "(haywain/{gateway}, gateway garden) stay at the broker" in line


def test_leaving_says_what_waits_and_where(plant):
    broker = plant.broker()
    account = plant.account(broker)
    slave = plant.slave()
    daemon = plant.haywain(configuration([uplink(broker.port)], [link(slave.port)], [device()], rest="self = false;\n"))
    wait_complete(account, "d1", 3)
    assert stat.S_IMODE(os.stat(daemon.queue).st_mode) & 0o007 == 0
    broker.stop()
    daemon.wait_line("connection lost")
    wait_until(lambda: slave.counters[1] > account.distinct() + 10, what="samples that wait")
    daemon.stop()
    assert re.search(r"stopping: \d+ samples in the queue; those that the uplinks do not get now are written to disk", daemon.text())
    assert re.search(r"stopped: \d+ samples in queue\.db, safe on disk, sent after the next start", daemon.text())

    os.chmod(daemon.queue, 0o644)
    broker.start()
    daemon.start()
    daemon.wait_line("every user of this machine may read the queue queue.db (mode 0644); chmod 0640 fixes it")
    wait_complete(account, "d1", slave.counters[1])


def test_a_line_about_a_device_that_does_not_answer(plant):
    silent = plant.slave(answer=lambda transaction, unit, pdu: None)
    daemon = plant.haywain(configuration(links=[link(silent.port, timeout="50ms")], devices=[device()]))
    line = daemon.wait_line("device d1: offline")
    assert line.endswith("offline: no answer (asked for holding registers 0 to 1); trying again in 1 s, later every 1 min")
    daemon.kill()
    refused = plant.haywain(configuration(links=[link(1)], devices=[device()]))
    line = refused.wait_line("link bus: down")
    assert line.endswith("down: tcp://127.0.0.1:1: connection refused; its 1 device is offline, trying again in 1 s, later every 1 min")


def test_the_wrong_port_of_a_broker_is_guessed(plant):
    broker = plant.broker(tls=True)
    daemon = plant.haywain(configuration([uplink(broker.tls_port, "plain"), uplink(broker.port, "tls", scheme="mqtts")]))
    assert "(does this port want mqtts://?" in daemon.wait_line("uplink plain: no connection")
    assert "(does this port want mqtt://, without TLS?)" in daemon.wait_line("uplink tls: no connection")


def test_a_second_daemon_says_who_has_the_queue(plant):
    daemon = plant.haywain(configuration(rest='api: { socket = ""; };\n'))
    second = plant.haywain()
    second.dir, second.file = daemon.dir, daemon.file
    second.start(ready=False)
    assert second.wait_end() == 1
    assert second.said(f"queue queue.db is in use by another haywaind (process {daemon.process.pid}): only one process may use it; exiting")
