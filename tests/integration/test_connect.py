# SPDX-License-Identifier: Apache-2.0
"""haywaind --test-uplink: whether a broker takes this gateway could only be tried on the running one, and read in its log."""
import os
import re
import subprocess

from conftest import BUILD, configuration, device, link, uplink, wait_complete
from processes import free_port, wait_until

def steps(out):
    """{step: ("ok" or "failed", text)} of the only uplink."""
    return {m[1]: (m[2], m[3]) for m in re.finditer(r"^  (\w+) +(ok|failed) +(.*)$", out, re.M)}


def try_it(plant, up, *arguments, files=()):
    daemon = plant.haywain(configuration([up], [link(1)], [device()]), start=False)
    for name, text in files:
        with open(os.path.join(daemon.dir, name), "w", encoding="ascii") as f:
            f.write(text)
    status, out, err = daemon.call(*(arguments or ["--test-uplink"]))
    assert not os.path.exists(daemon.queue)
    return status, out, err


def test_each_step_is_told_and_nothing_is_left_at_the_broker(plant):
    broker = plant.broker(tls=True, users={"barn": "secret"})
    everything = plant.subscriber(broker, ("#",), username="barn", password="secret")
    more = f'username = "barn"; password_file = "barn.password"; commands = true; tls: {{ ca_file = "{plant.ca.file}"; }};'
    status, out, err = try_it(plant, uplink(broker.tls_port, scheme="mqtts", host="localhost", more=more),
                              files=[("barn.password", "secret\n")])
    assert (status, err) == (0, ""), out + err
    said = steps(out)
    assert list(said) == ["files", "name", "TCP", "TLS", "login", "subscribe", "publish"], out
    assert all(state == "ok" for state, _ in said.values())
    assert said["TCP"][1].startswith("connected to 127.0.0.1:") or said["TCP"][1].startswith("connected to [::1]:")
    assert "TLS 1.3" in said["TLS"][1] and "as barn" in said["login"][1]
    wait_until(lambda: everything.messages, what="the message of the test")
    assert [m.topic for m in everything.messages] == ["haywain/plant/test"]
    later = plant.subscriber(broker, ("#",), client_id="later", username="barn", password="secret")
    later.publish("marker", "x")
    wait_until(lambda: later.messages, what="the marker")
    assert [m.topic for m in later.messages] == ["marker"], "something is retained"


def test_the_running_gateway_is_not_thrown_off(plant):
    broker, modbus = plant.broker(), plant.device()
    account = plant.account(broker)
    daemon = plant.haywain(configuration([uplink(broker.port)], [link(modbus.port)], [device()]))
    wait_complete(account, "d1", 3)
    status, out, _ = daemon.call("--test-uplink=cloud")
    assert status == 0 and "as plant-test: the running gateway, plant, stays connected" in out
    wait_complete(account, "d1", max(account.counts("d1")) + 3)
    assert "connection lost" not in daemon.text() and daemon.text().count("connected to") == 1


def test_a_refusal_is_told_at_its_step(plant):
    broker = plant.broker(users={"barn": "secret"})
    with_password = [("barn.password", "wrong\n")]
    status, out, _ = try_it(plant, uplink(broker.port, more='username = "barn"; password_file = "barn.password";'), files=with_password)
    assert status == 1 and steps(out)["login"][0] == "failed" and "not authorized" in out
    assert "may reject plant-test" in out and "publish" not in steps(out)
    status, out, _ = try_it(plant, uplink(free_port()))
    assert status == 1 and list(steps(out)) == ["TCP"] and "connection refused" in out
    status, out, _ = try_it(plant, uplink(1883, host="nowhere.invalid"))
    assert status == 1 and list(steps(out)) == ["name"] and "cannot be resolved" in out
    status, out, _ = try_it(plant, uplink(broker.port, more='username = "barn"; password_file = "barn.password";'))
    assert status == 1 and list(steps(out)) == ["files"] and "barn.password" in out


def test_a_certificate_that_nobody_vouches_for_is_a_step_that_fails(plant):
    broker = plant.broker(tls=True)
    status, out, _ = try_it(plant, uplink(broker.tls_port, scheme="mqtts", host="localhost"))
    assert status == 1 and steps(out)["TCP"][0] == "ok" and steps(out)["TLS"][0] == "failed", out
    assert "tls.ca_file" in out


def test_what_the_broker_does_not_let_us_publish_is_told(plant):
    broker = plant.broker(acl="topic read #\n")
    status, out, _ = try_it(plant, uplink(broker.port, more="commands = true;"))
    assert status == 1 and steps(out)["subscribe"][0] == "ok" and steps(out)["publish"][0] == "failed", out
    assert "haywain/plant/test" in out and "not authorized" in out
    # Of MQTT 3.1.1 nobody can tell, and that is said.
    status, out, _ = try_it(plant, uplink(broker.port, more="version = 311;"))
    assert status == 0 and "only MQTT 5" in steps(out)["publish"][1]


def test_an_uplink_that_is_not_there(plant):
    status, out, err = try_it(plant, uplink(1), "--test-uplink=clod")
    assert status == 1 and out == "" and "there is no uplink `clod`, did you mean `cloud`?" in err
    tool = subprocess.run([os.path.join(BUILD, "haywain"), "connect"], capture_output=True, text=True, check=False)
    assert tool.returncode == 64 and "connect --test [UPLINK]" in tool.stderr
