# SPDX-License-Identifier: Apache-2.0
"""The process: one queue one daemon, leaving in time, the watchdog, plugins that cannot run."""
import os
import signal
import socket
import subprocess
import tempfile

import pytest
from conftest import ASAN, BUILD, DAEMON, TOP, configuration, device, link, uplink, wait_complete
from processes import wait_until


def test_version_and_help():
    with open(os.path.join(TOP, "VERSION"), encoding="ascii") as f:
        version = f.read().strip()
    assert version in subprocess.run([DAEMON, "--version"], capture_output=True, text=True, check=True).stdout
    assert "--check" in subprocess.run([DAEMON, "--help"], capture_output=True, text=True, check=True).stdout


def test_a_second_daemon_on_the_same_queue_is_refused(plant):
    broker = plant.broker()
    account = plant.account(broker)
    slave = plant.slave()
    text = configuration([uplink(broker.port)], [link(slave.port)], [device()])
    first = plant.haywain(text)
    second = plant.haywain(text.replace("queue.db", first.queue), start=False)
    second.start(ready=False)
    assert second.wait_end() not in (0, 78)
    assert second.said(first.queue, str(first.process.pid))
    wait_complete(account, "d1", slave.counters[1] + 5)
    first.kill()
    third = plant.haywain(text.replace("queue.db", first.queue))
    third.stop()


def test_a_daemon_beside_the_one_that_runs_is_refused(plant):
    """`haywaind` typed by hand beside the service became a second gateway of the same name, with a queue of its own: they
    threw each other off the broker, and every reading went up twice."""
    slave = plant.slave()
    text = configuration([], [link(slave.port)], [device()])
    first = plant.haywain(text)
    second = plant.haywain(text, start=False, RUNTIME_DIRECTORY=first.dir)
    second.start(ready=False)
    assert second.wait_end() == 1
    lines = second.text().splitlines()
    assert len(lines) == 1 and f"haywaind is already running, process {first.process.pid}: systemctl stop haywain first" in lines[0]
    assert not os.path.exists(second.queue), "it has not even begun"
    # Another place is another gateway; and what a killed one left behind is nobody's.
    third = plant.haywain(text + f'api: {{ socket = "{first.dir}/other.sock"; read_socket = ""; }};\n',
                          RUNTIME_DIRECTORY=first.dir)
    third.stop()
    first.kill()
    second.start()
    second.stop()


def test_another_program_at_the_socket_is_not_taken_for_a_haywaind(plant):
    daemon = plant.haywain(configuration(), start=False)
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(os.path.join(daemon.dir, "api.sock"))
        other.listen(1)
        daemon.start()
        daemon.wait_line("no local API: another process listens at")
        daemon.stop()


def black_hole(plant):
    """An address that swallows the SYN: a listener whose backlog is full."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    plant.defer(listener.close)
    fillers = []
    for _ in range(8):
        s = socket.socket()
        s.setblocking(False)
        s.connect_ex(listener.getsockname())
        fillers.append(s)
        plant.defer(s.close)
    return listener.getsockname()[1]


def test_sigterm_while_a_connect_hangs(plant):
    hole = black_hole(plant)
    broker = plant.broker()
    account = plant.account(broker)
    slave = plant.slave()
    daemon = plant.haywain(configuration(
        [uplink(broker.port), uplink(hole, "hole", more='connect_timeout = "60s";')],
        [link(slave.port), link(hole, "swallowed", timeout="10s")],
        [device(), device("d2", "swallowed")]))
    wait_complete(account, "d1", 20)
    daemon.stop()


def test_a_swallowed_syn_is_said_and_the_field_goes_on(plant):
    slave = plant.slave()
    daemon = plant.haywain(configuration([uplink(black_hole(plant), more='connect_timeout = "1s";')], [link(slave.port)], [device()]))
    daemon.wait_line("cloud", "again", timeout=40)
    wait_until(lambda: slave.counters.get(1, 0) > 20, what="polls")
    daemon.stop()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_end_it(plant, number):
    slave = plant.slave()
    daemon = plant.haywain(configuration([], [link(slave.port)], [device()]))
    wait_until(lambda: slave.counters.get(1, 0) > 3, what="polls")
    daemon.process.send_signal(number)
    assert daemon.wait_end(20) == 0


def test_the_watchdog_is_fed_also_while_an_uplink_connects(plant):
    slave = plant.slave()
    daemon = plant.haywain(configuration([uplink(black_hole(plant), more='connect_timeout = "30s";')], [link(slave.port)], [device()]),
                           WATCHDOG_USEC="1000000")
    wait_until(lambda: daemon.notify.count("WATCHDOG=1") >= 6, 30, "pings")
    times = [at for at, line in daemon.notify.messages if line == "WATCHDOG=1"]
    assert max(b - a for a, b in zip(times, times[1:])) < (3 if ASAN else 1)
    assert daemon.notify.last_status()


def test_the_status_tells_of_devices_uplink_and_queue(plant):
    broker = plant.broker()
    account = plant.account(broker)
    slave = plant.slave()
    daemon = plant.haywain(configuration([uplink(broker.port)], [link(slave.port)], [device()]))
    wait_complete(account, "d1", 5)
    wait_until(lambda: "connected" in daemon.notify.last_status(), 30, lambda: "connected in " + daemon.notify.last_status())
    broker.stop()
    wait_until(lambda: "connected" not in daemon.notify.last_status() or "queue" in daemon.notify.last_status(), 30, "the queue")


def build_plugin(plant, folder, name, source):
    path = os.path.join(folder, name + ".c")
    with open(path, "w", encoding="ascii") as f:
        f.write(source)
    subprocess.run(["cc", "-std=gnu17", "-fPIC", "-shared", "-I", os.path.join(TOP, "include"), "-o",
                    os.path.join(folder, name + ".so"), path], check=True)


PLUGINS = {
    "newer": ('#include <haywain/plugin.h>\n#define ABI (HAY_ABI + 1)\n'
              'const struct hay_plugin hay_plugin = {.magic = HAY_MAGIC, .abi = ABI, .size = sizeof(struct hay_plugin), .name = "newer"};\n',
              ["newer", "plugin interface"]),
    "foreign": ("const unsigned hay_plugin[64] = {0x12345678};\n", ["foreign"]),
    "empty": ("int nothing_of_interest;\n", ["empty", "hay_plugin"]),
    "undefined": ('extern int nobody_has_this(void);\nint (*const hay_plugin[64])(void) = {nobody_has_this};\n', ["undefined"]),
    "liar": ('#include <haywain/plugin.h>\nHAY_PLUGIN("somebody-else", .version = "1");\n', ["liar"]),
}


@pytest.mark.parametrize("name", PLUGINS)
def test_a_plugin_that_cannot_run_is_refused_with_one_line_and_the_rest_works(plant, name):
    broker = plant.broker()
    account = plant.account(broker)
    slave = plant.slave()
    source, words = PLUGINS[name]
    folder = os.path.join(plant.dir, "plugins")
    os.mkdir(folder)
    os.symlink(os.path.join(BUILD, "plugins", "modbus.so"), os.path.join(folder, "modbus.so"))
    build_plugin(plant, folder, name, source)
    bad = f'  {{ name = "odd"; plugin = "{name}"; }}'
    daemon = plant.haywain(configuration([uplink(broker.port)], [link(slave.port), bad],
                                         [device(), f'  {{ name = "lost"; link = "odd"; points: ( {{ name = "x"; }} ); }}']),
                           HAYWAIN_PLUGIN_DIR=folder)
    wait_complete(account, "d1", 5)
    assert daemon.said("haywain.conf:", *words), daemon.log.text()


def test_memory_and_descriptors_are_given_back_after_an_outage(plant):
    broker = plant.broker()
    account = plant.account(broker)
    slave = plant.slave()
    daemon = plant.haywain(configuration([uplink(broker.port)], [link(slave.port)], [device(every="10ms")]))
    wait_complete(account, "d1", 100)
    before = len(os.listdir(f"/proc/{daemon.process.pid}/fd"))
    for _ in range(3):
        broker.stop()
        count = slave.counters[1]
        wait_until(lambda: slave.counters[1] > count + 100, what="polls")
        broker.start()
        wait_complete(account, "d1", slave.counters[1])
    wait_until(lambda: len(os.listdir(f"/proc/{daemon.process.pid}/fd")) <= before, 20, "as few descriptors as before")


def written_by(pid):
    """Bytes that a process sent to a disk, by the kernel's count."""
    with open(f"/proc/{pid}/io", encoding="ascii") as f:
        return int(next(l for l in f if l.startswith("write_bytes")).split()[1])


@pytest.fixture(name="disk")
def _disk():
    """A folder where the kernel counts what is written: on a tmpfs it counts nothing, and a test would always pass."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("HAYWAIN_TEST_DISK", BUILD), prefix="disk-") as folder:
        before = written_by("self")
        with open(os.path.join(folder, "some"), "wb") as f:
            f.write(b"x" * 8192)
            f.flush()
            os.fsync(f.fileno())
        assert written_by("self") > before, f"{folder} lies on no disk: set HAYWAIN_TEST_DISK to a folder that does"
        yield folder


@pytest.mark.parametrize("write", ["behind", "through"])
def test_nothing_is_written_while_the_broker_keeps_up(plant, disk, write):
    """docs/guarantees.md, what an SD card sees. With write = "through" everything is: that shows that it is measured."""
    broker = plant.broker()
    account = plant.account(broker)
    slave = plant.slave()
    text = configuration([uplink(broker.port)], [link(slave.port)], [device(every="20ms")],
                         queue=f'commit = "5s"; write = "{write}";')
    daemon = plant.haywain(text.replace('"queue.db"', f'"{disk}/queue.db"'))
    wait_complete(account, "d1", 20)
    begin = written_by(daemon.process.pid)
    wait_complete(account, "d1", slave.counters[1] + 200)
    if write == "behind":
        assert written_by(daemon.process.pid) == begin
    else:
        assert written_by(daemon.process.pid) > begin
    daemon.stop()


def test_the_delivered_configuration_runs(plant, tmp_path):
    """As a package starts it: no device, no uplink, no path of the queue but systemd's state directory."""
    with open(os.path.join(TOP, "etc", "haywain.conf"), encoding="utf-8") as f:
        daemon = plant.haywain(f.read(), STATE_DIRECTORY=str(tmp_path))
    wait_until(lambda: (tmp_path / "queue.db").exists(), what="the queue")
    daemon.reload()
    daemon.stop()
