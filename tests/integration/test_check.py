# SPDX-License-Identifier: Apache-2.0
"""haywaind --check as root, for a service that is not: root reads everything, and said "is good" of files that the
service cannot read; the reload that followed changed nothing, or a restart ended with the gateway down."""
import os

import pytest
from conftest import configuration, device, link, uplink

SECRET = 'username = "u"; password_file = "cloud.password";'


def laid_out(plant):
    """A configuration as a package lays it out, for the user nobody in the service's place."""
    if os.geteuid() != 0:
        pytest.fail("this test gives files to another user: run it as root")
    daemon = plant.haywain(configuration([uplink(1, more=SECRET)], [link(1)], [], rest='@include "more.inc"\n').replace(
        'path = "queue.db"', f'path = "{plant.dir}/state/queue.db"'), start=False)
    conf_d = os.path.join(daemon.dir, "conf.d")
    os.mkdir(conf_d)
    os.mkdir(os.path.join(plant.dir, "state"))
    files = {"cloud.password": "secret\n", "more.inc": "self = false;\n",
             "conf.d/d1.conf": f"devices: ( {device()} );\n"}
    for name, text in files.items():
        with open(os.path.join(daemon.dir, name), "w", encoding="ascii") as f:
            f.write(text)
    for path in (daemon.file, *(os.path.join(daemon.dir, name) for name in files)):
        os.chown(path, 0, 65534)
        os.chmod(path, 0o640)
    os.chown(os.path.join(plant.dir, "state"), 65534, 65534)
    for folder in (plant.dir, daemon.dir, conf_d):
        os.chmod(folder, 0o755)
    daemon.conf_d = conf_d
    return daemon


def test_what_the_service_can_read_is_good(plant):
    daemon = laid_out(plant)
    assert daemon.check("--user", "nobody") == (0, f"{daemon.file} is good: 1 uplink, 1 link, 1 device\n")


@pytest.mark.parametrize("name", ["haywain.conf", "conf.d/d1.conf", "more.inc", "cloud.password"])
def test_a_file_that_only_root_can_read_is_an_error_with_its_remedy(plant, name):
    daemon = laid_out(plant)
    path = os.path.join(daemon.dir, name)
    os.chown(path, 0, 0)
    os.chmod(path, 0o600)
    assert daemon.check()[0] == 0, "root itself may read it"
    status, said = daemon.check("--user", "nobody")
    assert status == 1 and f"the service runs as nobody: chgrp nogroup {path} && chmod 640 {path}" in said, said


@pytest.mark.parametrize("which", ["conf.d", "daemon"])
def test_a_folder_that_is_closed_is_named(plant, which):
    daemon = laid_out(plant)
    folder = daemon.conf_d if which == "conf.d" else daemon.dir
    os.chmod(folder, 0o700)
    status, said = daemon.check("--user", "nobody")
    assert status == 1 and folder in said and "the service runs as nobody" in said, said


def test_the_queue_has_to_be_writable(plant):
    daemon = laid_out(plant)
    state = os.path.join(plant.dir, "state")
    os.chown(state, 0, 0)
    status, said = daemon.check("--user", "nobody")
    assert status == 1 and f"chown nobody:nogroup {state}" in said, said
    os.rmdir(state)
    status, said = daemon.check("--user", "nobody")
    assert status == 1 and f"install -d -o nobody -g nogroup -m 750 {state}" in said, said


def test_a_secret_that_is_not_there_stays_a_warning(plant):
    """systemd may hand it over, or it comes later."""
    daemon = laid_out(plant)
    os.unlink(os.path.join(daemon.dir, "cloud.password"))
    status, said = daemon.check("--user", "nobody")
    assert status == 0 and "warning" in said and "cloud.password" in said, said


def test_a_user_that_does_not_exist_is_said(plant):
    daemon = laid_out(plant)
    status, said = daemon.check("--user", "nobody-of-that-name")
    assert status == 1 and "there is no such user" in said and len(said.splitlines()) == 1, said


def check(plant, text):
    return plant.haywain(text, start=False).check()


@pytest.mark.parametrize("key,number,meant", [("holding", 40001, 0), ("holding", 40101, 100), ("input", 30005, 4), ("discrete", 10010, 9)])
def test_a_manuals_number_in_place_of_an_address_is_warned_of(plant, key, number, meant):
    """The classical beginner's mistake passed, and on the device every read was `illegal data address`."""
    status, said = check(plant, configuration([], [link(1)], [device(points=f'{{ name = "p"; {key} = {number}; }}')]))
    assert status == 0 and f"that would be {key} = {meant}, or reference = {number}; as 0x{number:X} it is taken" in said, said


@pytest.mark.parametrize("point", ['holding = 40000', 'holding = 30001', 'input = 40001', 'coil = 1', 'reference = 40001', 'holding = 50000',
                                   'holding = 0x9C41'])
def test_an_address_that_is_one_is_not_warned_of(plant, point):
    status, said = check(plant, configuration([], [link(1)], [device(points=f'{{ name = "p"; {point}; }}')]))
    assert status == 0 and "warning" not in said, said


def test_a_key_that_nobody_knows_says_where_the_keys_are_listed(plant):
    status, said = check(plant, configuration([], [link(1)], [device(points='{ name = "p"; holding = 1; register = 2; }')]))
    assert status == 1 and "unknown key `register`; `haywain help modbus` lists the keys" in said, said


def test_a_queue_in_a_folder_that_is_not_there_is_warned_of(plant):
    """As another user than root nothing was said, and the daemon did not start."""
    daemon = plant.haywain(configuration([], [], []).replace("queue.db", f"{plant.dir}/nowhere/queue.db"), start=False)
    status, said = daemon.check()
    assert status == 0 and f"warning: queue.path: there is no folder {plant.dir}/nowhere yet" in said, said
