# SPDX-License-Identifier: Apache-2.0
"""What a person may write wrong: each gets one clear line with file and line; one bad device does not stop the others."""
import re

import pytest
from conftest import COUNTER, configuration, device, link, uplink, wait_complete

GOOD = configuration([uplink(1883)], [link(1502)], [device("good"), device("other", unit=2)])


def change(old, new, count=1):
    assert old in GOOD
    return GOOD.replace(old, new, count)


# what: the file, what the line must say, and whether the start is refused (else: only the device or link is left out)
BAD = {
    "unknown key of a device": (change("unit = 1;", "unti = 1;"), ["unti", "did you mean", "unit"], False),
    "unknown key of a point": (change("holding = 0;", "holdin = 0;"), ["holdin", "did you mean", "holding"], False),
    "unknown key of a link": (change("timeout", "timout"), ["timout", "did you mean", "timeout"], False),
    "unknown key of the gateway": (change("clock", "clok"), ["clok", "did you mean", "clock"], True),
    "unknown group": (GOOD + "uplink: ( );\n", ["uplink", "did you mean", "uplinks"], True),
    "wrong type": (change("unit = 1;", 'unit = "one";'), ["unit"], False),
    "duration without a unit": (change('every = "100ms"', "every = 100"), ["every", "unit"], False),
    "duration that is none": (change('every = "100ms"', 'every = "100 parsecs"'), ["every"], False),
    "number out of range": (change("unit = 1;", "unit = 300;"), ["unit", "300", "255"], False),
    "32-bit overflow": (change("holding = 0;", "holding = 5000000000;"), ["5000000000"], None),
    "32-bit overflow in hex": (change("holding = 0;", "holding = 0x1FFFFFFFF;"), ["0x1FFFFFFFF"], None),
    "register beyond the table": (change("holding = 0;", "holding = 65536;"), ["65536", "65535"], False),
    "duplicate devices": (change('"other"', '"good"'), ["good"], False),
    "duplicate points": (change(COUNTER, COUNTER + ", " + COUNTER), ["polls"], False),
    "duplicate links": (GOOD.replace('" ; }', "") .replace("links: (\n", "links: (\n" + link(1503) + ",\n"), ["bus"], False),
    "reserved device name": (change('"good"', '"gateway"'), ["gateway", "reserved"], False),
    "name with a blank": (change('"good"', '"go od"'), ["go od"], False),
    "a link nobody has": (change('link = "bus"', 'link = "train"'), ["train"], False),
    "a plugin that is missing": (change('"modbus"', '"modbas"'), ["modbas", "did you mean", "modbus"], False),
    "a plugin nobody has": (change('"modbus"', '"profibus"'), ["profibus", "`modbus`", "`sim`"], False),
    "an url that is none": (change("tcp://127.0.0.1", "ftp://127.0.0.1"), ["ftp://"], False),
    "an uplink's url that is none": (change("mqtt://", "http://"), ["http://", "mqtt"], True),
    "unknown type": (change('"uint32"', '"unt32"'), ["unt32"], False),
    "unknown queue policy": (change('path = "queue.db";', 'when_full = "drop-all";'), ["drop-all", "drop-oldest"], True),
    "bad level": (change("gateway: {", 'gateway: { log_level = "loud";'), ["loud", "info"], True),
    "missing comma": (change("},\n", "}\n") if "},\n" in GOOD else None, ["`,`", "missing"], True),
    "trailing comma": (change("\n);\n", ",\n);\n"), ["`,`"], True),
    "unclosed quote": (change('name = "good"', 'name = "good'), ["quote"], True),
    "two addresses of one point": (change("holding = 0;", "holding = 0; input = 0;"), ["holding", "input"], False),
    "a password": (change("mqtt://", 'x"; password = "secret'), ["password", "password_file"], True),
    "a brace too many": (change("\n);\n", "\n} );\n"), ["`}` too many"], True),
    "no address": (change("holding = 0;", ""), ["holding"], False),
    "same prefix twice": (configuration([uplink(1883), uplink(1883, "second", more='client_id = "x";')], [link(1502)], [device()]),
                          ["second", "cloud"], True),
}


@pytest.mark.parametrize("what", BAD)
def test_check_names_the_mistake(plant, what):
    text, words, refused = BAD[what]
    daemon = plant.haywain(text, start=False)
    status, output = daemon.check()
    assert status == 1, output
    lines = [l for l in output.splitlines() if re.search(r"haywain\.conf:\d+: ", l)]
    found = [l for l in lines if all(w.lower() in l.lower() for w in words)]
    assert found, f"no line with {words} in:\n{output}"
    # the other device is right, and nobody complains about it
    assert len(lines) <= 3, output


@pytest.mark.parametrize("what", [w for w in BAD if BAD[w][2] is True])
def test_a_file_that_cannot_be_used_refuses_the_start(plant, what):
    daemon = plant.haywain(BAD[what][0], start=False)
    daemon.start(ready=False)
    assert daemon.wait_end() == 78
    assert daemon.said("haywain.conf:", *BAD[what][1])


@pytest.mark.parametrize("what", ["unknown key of a device", "number out of range", "duplicate devices",
                                  "reserved device name", "register beyond the table", "no address"])
def test_one_bad_device_does_not_stop_the_others(plant, what):
    broker = plant.broker()
    account = plant.account(broker)
    slave = plant.slave()
    text = BAD[what][0].replace("127.0.0.1:1883", f"127.0.0.1:{broker.port}").replace(":1502", f":{slave.port}")
    daemon = plant.haywain(text)
    wait_complete(account, "good" if what == "duplicate devices" else "other", 5)
    assert daemon.said("haywain.conf:", *BAD[what][1])
    assert len(account.samples) == 1


def test_all_mistakes_are_reported_at_once(plant):
    text = GOOD.replace("unit = 1;", "unti = 1;").replace('timeout = "500ms"', "timeout = 500").replace("unit = 2", "unit = 999")
    status, output = plant.haywain(text, start=False).check()
    assert status == 1
    for word in ("unti", "timeout", "999"):
        assert word in output


def test_check_is_content_with_a_right_file(plant):
    assert plant.haywain(GOOD, start=False).check()[0] == 0


def test_a_missing_file_is_said(plant):
    daemon = plant.haywain(GOOD, start=False)
    daemon.file += ".missing"
    status, output = daemon.check()
    assert status == 1 and "No such file" in output
    daemon.start(ready=False)
    assert daemon.wait_end() == 78
    assert daemon.said("No such file")


def test_unknown_arguments(plant):
    status, output = plant.haywain(GOOD, start=False).check("--nonsense")
    assert status == 64 and "nonsense" in output and "--help" in output, output
