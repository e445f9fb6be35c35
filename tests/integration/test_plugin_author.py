# SPDX-License-Identifier: Apache-2.0
"""What an author of plugins does: builds the example against what is installed, puts it beside the daemon's, and sees its readings."""
import os
import re
import shutil
import subprocess

from conftest import BUILD, TOP, configuration, uplink, wait_until


def installed(plant):
    """haywain-dev, as the package has it: (folder of the examples, environment for pkg-config)."""
    root = plant._path("root")
    subprocess.run(["make", "-s", "-C", TOP, "install-dev", f"DESTDIR={root}", "PREFIX=/usr"], check=True, stdout=subprocess.DEVNULL)
    examples = shutil.copytree(f"{root}/usr/share/doc/haywain-dev/examples", plant._path("author") + "/plugin")
    return examples, {**os.environ, "PKG_CONFIG_SYSROOT_DIR": root, "PKG_CONFIG_PATH": f"{root}/usr/share/pkgconfig"}


def build(examples, environment, *arguments):
    done = subprocess.run(["make", "-C", examples, *arguments], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def zone(plant, text):
    """A folder as the kernel shows its thermal zones."""
    folder = plant._path("thermal")
    os.mkdir(folder + "/thermal_zone3")
    with open(folder + "/thermal_zone3/temp", "w", encoding="ascii") as f:
        f.write(text)
    return folder


def with_plugin(plant, folder, broker, points='points: ( { name = "temperature"; scale = 0.001; unit = "°C"; } );'):
    links = [f'  {{ name = "here"; plugin = "thermal"; path = "{folder}"; }}']
    devices = [f'  {{ name = "soc"; link = "here"; zone = 3; every = "200ms"; {points} }}']
    return configuration([uplink(broker)], links, devices)


def test_the_example_is_built_against_the_package_and_read_by_the_daemon(plant):
    examples, environment = installed(plant)
    said = build(examples, environment, "CFLAGS=-O2 -Wall -Wextra -Werror", "install", f"PLUGINDIR={examples}/own")
    assert "warning" not in said
    broker = plant.broker()
    subscriber = plant.subscriber(broker, ("haywain/plant/data/soc",))
    # Both folders are searched: the author's own, and the daemon's.
    daemon = plant.haywain(HAYWAIN_PLUGIN_DIR=f"{examples}/own:{BUILD}/plugins")
    folder = zone(plant, "21437\n")
    daemon.configure(with_plugin(plant, folder, broker.port)).start()
    sample = wait_until(lambda: subscriber.messages and subscriber.messages[0].json(), 30, "a reading")
    assert sample["values"] == {"temperature": 21.437}
    with open(folder + "/thermal_zone3/temp", "w", encoding="ascii") as f:
        f.write("none\n")
    wait_until(lambda: subscriber.messages[-1].json().get("quality") == {"temperature": "bad: decode"}, 30, "a bad reading")
    # A number that does not fit its type is bad with its reason, and never another number: the installed library says so.
    with open(folder + "/thermal_zone3/temp", "w", encoding="ascii") as f:
        f.write("2147483648\n")
    wait_until(lambda: subscriber.messages[-1].json().get("quality") == {"temperature": "bad: out of range"}, 30, "a bad reading")
    daemon.stop()


def test_a_device_that_needs_points_and_has_none_is_a_mistake(plant):
    examples, environment = installed(plant)
    build(examples, environment)
    daemon = plant.haywain(HAYWAIN_PLUGIN_DIR=examples)
    status, said = daemon.configure(with_plugin(plant, "/x", 1, points="")).check()
    assert status == 1 and re.search(r"conf:\d+: device `soc` has no points: list them in `points`, or name its `model`", said), said


def test_a_plugin_built_for_a_newer_haywain_is_refused_with_one_line(plant):
    """A member that this version does not know is set in a table: the daemon cannot do what it asks for."""
    examples, environment = installed(plant)
    with open(examples + "/thermal.c", encoding="utf-8") as f:
        text = f.read()
    with open(examples + "/thermal.c", "w", encoding="utf-8") as f:
        f.write(text.replace('.fallback = "0",', '.fallback = "0", .reserved = {1},'))
    build(examples, environment)
    daemon = plant.haywain(HAYWAIN_PLUGIN_DIR=examples)
    status, said = daemon.configure(with_plugin(plant, "/x", 1)).check()
    assert status == 1 and "plugin `thermal` was built for a newer Haywain" in said, said


def test_a_plugin_in_cxx(plant):
    """The headers are good C++20, without a warning, and the descriptor is found."""
    examples, environment = installed(plant)
    source = examples + "/minimal.cc"
    with open(source, "w", encoding="utf-8") as f:
        f.write('#include <haywain/helpers.h>\n#include <haywain/plugin.h>\n'
                'static int poll_device(struct hay_device *device, const uint32_t *, size_t)\n'
                '{ device->link->host->round_done(device, nullptr, HAY_OK, HAY_NO_REASON, nullptr, 0); return hay_hex_digit(\'0\'); }\n'
                'HAY_PLUGIN("minimal", .poll = poll_device);\n')
    flags, libraries = (subprocess.run(["pkg-config", what, "haywain"], env=environment, capture_output=True, text=True, check=True).stdout.split()
                        for what in ("--cflags", "--libs"))
    done = subprocess.run(["g++", "-std=c++20", "-Wall", "-Wextra", "-Werror", "-Wno-missing-field-initializers", "-fPIC", "-fvisibility=hidden", *flags,
                           "-shared", "-o", examples + "/minimal.so", source, *libraries], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    daemon = plant.haywain(HAYWAIN_PLUGIN_DIR=examples)
    status, said = daemon.configure(configuration([uplink(1)], ['  { name = "x"; plugin = "minimal"; }'], ['  { name = "y"; link = "x"; }'])).check()
    assert status == 0, said
