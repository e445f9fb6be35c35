# SPDX-License-Identifier: Apache-2.0
"""The tool haywain against a running daemon."""
import json
import os
import subprocess
import tarfile

from conftest import BUILD, TOP
from processes import wait_until
from test_api import POINTS, ask, run

TOOL = os.path.join(BUILD, "haywain")


def haywain(daemon, *arguments, good=True):
    done = subprocess.run([TOOL, "--socket", daemon.api, *arguments], env=daemon.environ(), cwd=daemon.dir, text=True,
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
    assert (done.returncode == 0) == good, done.stdout + done.stderr
    return done.stdout if good else done.stderr


def test_the_commands_that_look(plant):
    daemon = run(plant)
    assert "plant" in haywain(daemon, "status") and "1 of 1 online" in haywain(daemon, "status")
    assert "d1" in haywain(daemon, "devices")
    assert "setpoint" in haywain(daemon, "devices", "d1")
    assert "tcp://127.0.0.1:" in haywain(daemon, "links") and "1 of 1" in haywain(daemon, "links")
    assert "samples wait" in haywain(daemon, "queue")
    assert json.loads(haywain(daemon, "--json", "status"))["gateway"] == "plant"
    assert json.loads(haywain(daemon, "queue", "--json"))["disk"] == "ok"
    assert "\x1b" not in haywain(daemon, "status")
    assert "nobody" in haywain(daemon, "devices", "nobody", good=False)


def test_the_commands_that_act(plant):
    daemon = run(plant)
    assert "55" in haywain(daemon, "write", "d1", "setpoint", "55")
    assert "75" in haywain(daemon, "write", "d1", "setpoint", "99", good=False)
    assert "reloaded: 0 devices started, 0 stopped, 1 as before" in haywain(daemon, "reload")
    assert "--yes" in haywain(daemon, "queue", "purge", good=False)
    assert "dropped" in haywain(daemon, "queue", "purge", "--yes")
    daemon.stop()
    assert "no daemon" in haywain(daemon, "status", good=False)


def test_a_whole_number_of_64_bits_keeps_all_its_digits(plant):
    """Above 2^63 - 1 a number could not be written; and where a device had one, the tool took no answer for an answer."""
    daemon = run(plant, points=POINTS + ', { name = "big"; holding = 50; type = "uint64"; access = "write"; }', n_points=3)
    for number in ("18446744073709551615", "9223372036854775808", "9007199254740993"):
        assert number in haywain(daemon, "write", "d1", "big", number)
        wait_until(lambda number=number: number in haywain(daemon, "devices", "d1"), what=f"{number} to be read back")
        assert f'"value":{number}' in haywain(daemon, "--json", "devices", "d1")
    response, data = ask(daemon.api, "POST", "/v1/devices/d1/points/big", "18446744073709551616")
    assert response.status == 422 and b"range" in data


def test_watch_is_live(plant):
    daemon = run(plant)
    watch = subprocess.Popen([TOOL, "-s", daemon.api, "watch", "d1"], stdout=subprocess.PIPE, text=True)
    plant.defer(watch.wait)
    plant.defer(watch.kill)
    assert all("polls=" in watch.stdout.readline() for _ in range(3))


def test_what_needs_no_daemon(plant):
    daemon = run(plant)
    with open(os.path.join(TOP, "etc", "haywain.conf"), encoding="utf-8") as f:
        assert haywain(daemon, "example") == f.read()
    assert "is good" in haywain(daemon, "check", daemon.file)
    daemon.configure("gateway: {\n")
    haywain(daemon, "check", daemon.file, good=False)


def test_the_bundle_is_whole(plant):
    daemon = run(plant)
    haywain(daemon, "diag", "bundle.tar.gz")
    path = os.path.join(daemon.dir, "bundle.tar.gz")
    wait_until(lambda: os.path.exists(path), what="the bundle")
    with tarfile.open(path) as bundle:
        names = {os.path.basename(n) for n in bundle.getnames()}
    assert {"status.json", "devices.json", "queue.json", "metrics.txt", "haywain.conf"} <= names
