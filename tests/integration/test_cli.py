# SPDX-License-Identifier: Apache-2.0
"""The tool haywain against a running daemon."""
import fcntl
import json
import os
import pty
import struct
import subprocess
import tarfile
import termios
import threading

import pytest
from conftest import BUILD, TOP, configuration, device, link, uplink
from processes import wait_until
from test_api import POINTS, ask, get, run, start

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


def write(daemon, *arguments):
    done = subprocess.run([TOOL, "--socket", daemon.api, "write", *arguments], env=daemon.environ(), text=True,
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
    return done.returncode, (done.stdout + done.stderr).strip()


def test_a_terminal_does_not_obey_what_a_device_says(plant):
    """The tables were clean, but the answer to a write brought a device's escape sequences to the terminal as they came."""
    daemon = run(plant, points=POINTS + ', { name = "label"; holding = 50; type = "string"; length = 8; access = "write"; }', n_points=3)
    status, said = write(daemon, "d1", "label", "a\x1b[2Jb\u009bc")
    assert status == 0 and said == "d1 label is now a [2Jb  c"
    wait_until(lambda: "a [2Jb  c" in haywain(daemon, "devices", "d1"), what="the label to be read")
    assert json.loads(haywain(daemon, "--json", "devices", "d1"))["points"][2]["value"] == "a\x1b[2Jb\u009bc"
    assert "\x1b" not in haywain(daemon, "status", "--\x1b[2J", good=False)


def test_write_says_what_the_device_holds(plant):
    """It said "is now 55.5" of a register that held 56, and did as if a write without an answer had failed."""
    daemon = run(plant)
    assert write(daemon, "d1", "setpoint", "55") == (0, "d1 setpoint is now 55")
    assert write(daemon, "d1", "setpoint", "55.5") == (0, "d1 setpoint is now 56 (asked for 55.5)")
    assert json.loads(haywain(daemon, "--json", "write", "d1", "setpoint", "54.6")) == {
        "ok": True, "done": "yes", "value": 55, "asked": 54.6, "read_back": True}
    assert write(daemon, "d1", "setpoint", "75.1")[0] == 1


def test_write_tells_not_done_from_nobody_knows(plant):
    slave = plant.slave()
    says = {6: lambda t, u, pdu: slave.frame(t, u, pdu[:5])}

    def answer(transaction, unit, pdu):
        if pdu[0] == 3 and pdu[1:3] == b"\0\x28" and says.get(3):
            return says[3](transaction, unit, pdu)
        return slave.good(transaction, unit, pdu) if pdu[0] == 3 else says[6](transaction, unit, pdu)

    def writes():
        return [pdu for _, _, pdu in slave.requests if pdu[0] != 3]

    slave.answer = answer
    daemon = start(plant, slave.port, "300ms", every="1h")
    daemon.wait_line("d1: online")
    says[3] = lambda t, u, pdu: slave.frame(t, u, b"\x83\2")
    assert write(daemon, "d1", "setpoint", "50") == (
        0, "d1 setpoint was written: 50; cannot be read back: illegal data address")
    says[6] = lambda t, u, pdu: slave.frame(t, u, b"\x86\3")
    assert write(daemon, "d1", "setpoint", "51") == (1, "haywain: refused: illegal data value")
    says[6] = lambda t, u, pdu: None
    n = len(writes())
    assert write(daemon, "d1", "setpoint", "52") == (3, "haywain: not known whether it was done: no answer")
    assert len(writes()) == n + 1, "a write without an answer was sent again"

    # The daemon dies in the middle.
    asked = threading.Event()

    def die(*_):
        asked.set()

    says[6] = die
    status = []
    thread = threading.Thread(target=lambda: status.append(write(daemon, "d1", "setpoint", "53")))
    thread.start()
    assert asked.wait(20)
    daemon.kill()
    thread.join()
    assert status[0][0] == 3 and "not known whether" in status[0][1], status
    assert write(daemon, "d1", "setpoint", "53")[0] == 1


def as_nobody(daemon, *arguments):
    """The tool as a user who is in no group; the folder of the sockets is open, as the service's is."""
    for folder in (os.path.dirname(daemon.dir), daemon.dir):
        os.chmod(folder, 0o755)
    return subprocess.run([TOOL, "--socket", daemon.api, *arguments], env=daemon.environ(), cwd="/", text=True, user="nobody",
                          group="nogroup", extra_groups=[], stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)


def test_who_may_only_look_looks_through_the_other_socket_and_is_told_which_group_is_wanted(plant):
    if os.geteuid() != 0:
        pytest.fail("this test becomes another user: run it as root")
    daemon = run(plant)
    read = os.path.join(daemon.dir, "read.sock")
    done = as_nobody(daemon, "status")
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1, done.stderr
    assert "to look takes the group haywain-read (sudo adduser nobody haywain-read" in done.stderr
    os.chown(read, 0, 65534)
    assert "1 of 1 online" in as_nobody(daemon, "status").stdout
    for arguments in (["reload"], ["write", "d1", "setpoint", "55"], ["queue", "purge", "--yes"]):
        done = as_nobody(daemon, *arguments)
        assert done.returncode == 1 and len(done.stderr.splitlines()) == 1, done.stderr
        assert "takes the group haywain-admin (sudo adduser nobody haywain-admin" in done.stderr
    assert "writes" not in daemon.text() and "reload" not in daemon.text()


def test_a_reload_with_a_mistake_fails_and_says_it(plant):
    """It exited with 0, so `systemctl reload` did too, with nothing applied."""
    daemon = run(plant)
    with open(daemon.file, "a", encoding="utf-8") as f:
        f.write('devices: ( );\n')
    assert "haywain.conf:" in haywain(daemon, "reload", good=False)
    daemon.reload(configuration([], [link(1)], [device(), device("d2", every="5")],
                                rest=f'api: {{ socket = "{daemon.api}"; }};\n'))
    said = haywain(daemon, "reload", good=False)
    assert "`every` must be a time with a unit" in said


def test_a_reload_by_systemd_where_there_is_no_api_is_by_signal(plant):
    daemon = plant.haywain(configuration(rest='api: { socket = ""; };\n'))
    environment = {**daemon.environ(), "MAINPID": str(daemon.process.pid)}
    done = subprocess.run([TOOL, "--socket", os.path.join(daemon.dir, "api.sock"), "reload"], env=environment, text=True,
                          capture_output=True, timeout=60, check=False)
    assert done.returncode == 0 and "a signal was sent" in done.stdout, done.stdout + done.stderr
    daemon.wait_line("reloaded:")


def test_watch_is_live(plant):
    daemon = run(plant)
    watch = subprocess.Popen([TOOL, "-s", daemon.api, "watch", "d1"], stdout=subprocess.PIPE, text=True)
    plant.defer(watch.wait)
    plant.defer(watch.kill)
    assert all("polls=" in watch.stdout.readline() for _ in range(3))


def test_watch_says_that_the_daemon_ended(plant):
    """It was `the answer of the daemon broke off: Transferred a partial file`."""
    daemon = run(plant)
    watch = subprocess.Popen([TOOL, "-s", daemon.api, "watch"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    plant.defer(watch.kill)
    watch.stdout.readline()
    daemon.kill()
    assert watch.communicate(timeout=30)[1] == "haywain: the daemon ended in the middle of its answer: it was stopped or started again\n"
    assert watch.returncode == 1


def test_a_gateway_without_devices_does_not_look_broken(plant):
    daemon = plant.haywain(start=False)
    daemon.api = os.path.join(daemon.dir, "api.sock")
    daemon.configure(configuration(rest=f'api: {{ socket = "{daemon.api}"; }};\n')).start()
    assert "Devices: none is configured yet; links: 0, 0 down" in haywain(daemon, "status")


def on_a_terminal(daemon, columns, *arguments):
    """What the tool prints on a terminal of that width."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    with open(ours, "rb", buffering=0) as terminal:
        tool = subprocess.Popen([TOOL, "--socket", daemon.api, *arguments], env={**daemon.environ(), "NO_COLOR": "1"},
                                stdin=subprocess.DEVNULL, stdout=theirs)
        os.close(theirs)
        data = b""
        while True:
            try:
                more = terminal.read(4096)
            except OSError:  # what a terminal says when its other end is closed
                break
            data += more
        assert tool.wait() == 0
    return data.decode().replace("\r\n", "\n")


@pytest.mark.parametrize("columns", [80, 60, 40])
def test_a_long_reason_is_wrapped_between_words(plant, columns):
    """A terminal of 80 columns broke the reason in the middle of its words, under the other columns."""
    daemon = run(plant, [uplink(1)])
    reason = wait_until(lambda: get(daemon, "/v1/status")["uplinks"][0].get("reason"), what="a reason")
    assert len(reason) > 60
    lines = on_a_terminal(daemon, columns, "status").splitlines()
    table = lines[next(i for i, line in enumerate(lines) if line.startswith("UPLINK")):]
    told = " ".join(" ".join(table).split())
    assert "nothing listens at 127.0.0.1:1 (connection refused); trying again in" in told, told
    if columns >= 60:  # where even the columns before it have room
        assert all(len(line) <= columns for line in table), table


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


def alone(*arguments):
    """The tool without any daemon: (exit status, standard output, standard error)."""
    environment = {**os.environ, "HAYWAIN_PLUGIN_DIR": os.path.join(BUILD, "plugins"), "ASAN_OPTIONS": "detect_leaks=0"}
    done = subprocess.run([TOOL, *arguments], env=environment, text=True, stdin=subprocess.DEVNULL, capture_output=True, timeout=60,
                          check=False)
    return done.returncode, done.stdout, done.stderr


def test_help_and_version_are_commands_too(plant):
    """`haywain help` and `haywain version` were no commands, and the bare name said only where help is."""
    with open(os.path.join(TOP, "VERSION"), encoding="ascii") as f:
        version = f.read().strip()
    assert alone("version") == (0, f"haywain {version}\n", "")
    status, out, err = alone("help")
    assert status == 0 and out == alone("--help")[1] and err == ""
    assert alone()[0] == 64 and alone()[1] == out
    assert all(len(line) <= 80 for line in out.splitlines()), "the help is wider than a terminal"
    daemon = subprocess.run([os.path.join(BUILD, "haywaind"), "--help"], text=True, capture_output=True, check=True).stdout
    assert all(len(line) <= 80 for line in daemon.splitlines()), daemon
    for command in [line.split()[0] for line in out.splitlines() if line.startswith("  ") and not line.lstrip().startswith("-")]:
        assert f"Usage: haywain {command}" in alone("help", command)[1]


def test_a_slip_of_the_pen_is_answered_with_what_was_meant(plant):
    assert "did you mean `status`?" in alone("statsu")[2]
    assert "did you mean `modbus`?" in alone("help", "modbsu")[2]
    daemon = run(plant, points=POINTS)
    assert "there is no device d2, did you mean `d1`?" in haywain(daemon, "devices", "d2", good=False)
    assert "there is no device d2, did you mean `d1`?" in haywain(daemon, "watch", "d2", good=False)
    assert "device d1 has no point setpiont, did you mean `setpoint`?" in haywain(daemon, "write", "d1", "setpiont", "1", good=False)
    assert "there is no device d2, did you mean `d1`?" in haywain(daemon, "write", "d2", "setpoint", "1", good=False)


OWN_KEYS = {"modbus": ("url", "retries", "max_hole", "holding"), "serial": ("port", "decode", "field"),
            "ble": ("adapter", "address", "characteristic"), "sim": ("low", "high")}


@pytest.mark.parametrize("plugin", OWN_KEYS)
def test_help_of_a_plugin_is_made_of_its_tables(plugin):
    """A plugin's version and summary were read by nobody, and its keys stood in the manual alone."""
    status, out, err = alone("help", plugin)
    assert status == 0 and err == ""
    keys = {line.split()[0] for line in out.splitlines() if line.startswith("  ")}
    assert {"name", "plugin", "every", "unit", "deadband", *OWN_KEYS[plugin]} <= keys
    assert any(line.startswith(f"{plugin} ") for line in alone("plugins")[1].splitlines())


COMPLETION = r"""
. packaging/bash-completion/haywain
haywain() {
	case "$*" in
	*links*) echo '{"links":[{"name":"panel","plugin":"modbus"}]}' ;;
	*"devices boiler"*) echo '{"name":"boiler","points":[{"name":"t"},{"name":"u"}]}' ;;
	*devices*) echo '{"devices":[{"name":"boiler"},{"name":"meter"}]}' ;;
	*status*) echo '{"gateway":"x","uplinks":[{"name":"cloud"}]}' ;;
	esac
}
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_$1
echo "${COMPREPLY[*]}"
"""


@pytest.mark.parametrize("line,offered", [
    ("haywain st", "status"), ("haywain sec", "secret"), ("haywain devices ", "boiler meter"), ("haywain devices boiler ", ""),
    ("haywain write boiler ", "t u"), ("haywain status --", "--json --help"), ("haywain queue purge --", "--yes"),
    ("haywain scan ", "modbus serial ble --link"), ("haywain scan --link ", "panel"), ("haywain scan modbus ", "scan identify dump"),
    ("haywain scan modbus scan /et", "/etc"), ("haywain check /et", "/etc"), ("haywain connect ", "--test"),
    ("haywain connect --test ", "cloud"), ("haywain help mod", "models modbus"), ("haywaind --ch", "--check"),
    ("haywaind -c /et", "/etc"), ("haywaind --probe mo", "modbus")])
def test_the_shell_completes_what_fits(line, offered):
    """It offered plugins behind `scan modbus scan`, devices behind a device, nothing behind `status --`, and had none for haywaind."""
    done = subprocess.run(["bash", "-c", COMPLETION, "bash", *line.split(" ")], cwd=TOP, text=True, capture_output=True, check=True)
    assert done.stdout.strip() == offered and done.stderr == ""


def test_the_shell_is_offered_every_command():
    offered = subprocess.run(["bash", "-c", COMPLETION, "bash", "haywain", ""], cwd=TOP, text=True, capture_output=True, check=True).stdout.split()
    told = [line.split()[0] for line in alone("help")[1].splitlines() if line.startswith("  ") and not line.lstrip().startswith("-")]
    assert set(told) <= set(offered)


@pytest.mark.parametrize("plugin", ["modbus", "serial", "ble"])
def test_the_help_of_a_scan_fits_a_terminal(plugin):
    """That of modbus came as one line of 589 characters."""
    status, out, _ = alone("scan", plugin, "one", "two", "three", "four")
    assert status == 64 and out and all(len(line) <= 80 for line in out.splitlines()), out
