# SPDX-License-Identifier: Apache-2.0
"""haywaind --set-secret: the guide let people type a password in clear, into a file whose owner and mode they had to know."""
import grp
import os
import pty
import select
import stat
import termios
import time

import pytest
from conftest import DAEMON, configuration, uplink

USES = 'username = "u"; password_file = "cloud.password";'


def laid_out(plant):
    daemon = plant.haywain(configuration([uplink(1, more=USES)]), start=False)
    daemon.secret = os.path.join(daemon.dir, "cloud.password")
    return daemon


def content(path):
    with open(path, "rb") as f:
        return f.read()


def test_from_a_pipe_it_is_written_without_a_question(plant):
    daemon = laid_out(plant)
    status, out, err = daemon.call("--set-secret=cloud.password", text="geheim\n")
    assert (status, err) == (0, ""), out + err
    assert content(daemon.secret) == b"geheim"
    st = os.stat(daemon.secret)
    try:
        service = grp.getgrnam("haywain").gr_gid
    except KeyError:
        service = None
    if os.geteuid() == 0 and service is not None:
        assert (st.st_uid, st.st_gid, stat.S_IMODE(st.st_mode)) == (0, service, 0o640)
    else:
        assert stat.S_IMODE(st.st_mode) == 0o600
    assert "uplink cloud uses it (password_file)" in out and "without a reload" in out and "geheim" not in out
    # And once more, over the old one; nothing is left beside it.
    assert daemon.call("--set-secret=cloud.password", text="neu")[0] == 0 and content(daemon.secret) == b"neu"
    assert [name for name in os.listdir(daemon.dir) if "cloud.password" in name] == ["cloud.password"]


def test_a_name_that_no_uplink_has_is_said(plant):
    daemon = laid_out(plant)
    status, out, _ = daemon.call("--set-secret=other.password", text="x\n")
    assert status == 0 and 'no uplink' in out and 'password_file = "other.password";' in out


@pytest.mark.parametrize("text,why", [("", "is empty"), ("\n", "is empty"), ("a\nb\n", "more than one line"), ("x" * 70000, "longer than 64 KB")])
def test_what_is_no_password_is_refused_and_the_old_one_stays(plant, text, why):
    daemon = laid_out(plant)
    daemon.call("--set-secret=cloud.password", text="old")
    status, out, err = daemon.call("--set-secret=cloud.password", text=text)
    assert status == 1 and out == "" and why in err and "nothing was written" in err and len(err.splitlines()) == 1
    assert content(daemon.secret) == b"old"


def test_a_folder_that_is_not_there_is_one_line(plant):
    daemon = laid_out(plant)
    status, _, err = daemon.call("--set-secret=/nonexistent/x", text="a")
    assert status == 1 and "/nonexistent/x cannot be written: No such file" in err and len(err.splitlines()) == 1


class Terminal:
    """The program on a terminal; what it shows is kept."""

    def __init__(self, plant, daemon):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(daemon.dir)
            os.execve(DAEMON, [DAEMON, "-c", daemon.file, "--set-secret=cloud.password"], daemon.environ())
        self.shown = b""
        plant.defer(lambda: os.close(self.fd))

    def wait_for(self, text):
        deadline = time.monotonic() + 30
        while text not in self.shown:
            assert select.select([self.fd], [], [], max(0, deadline - time.monotonic()))[0], self.shown
            self.shown += os.read(self.fd, 4096)

    def type(self, text):
        os.write(self.fd, text)

    def end(self):
        while True:
            try:
                data = os.read(self.fd, 4096)
            except OSError:  # what a terminal says when its other end is closed
                break
            if not data:
                break
            self.shown += data
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def test_on_a_terminal_it_asks_twice_and_shows_nothing(plant):
    daemon = laid_out(plant)
    terminal = Terminal(plant, daemon)
    terminal.wait_for(b"cloud.password: ")
    terminal.type(b"geheim\n")
    terminal.wait_for(b"once more: ")
    terminal.type(b"geheim\n")
    assert terminal.end() == 0 and b"geheim" not in terminal.shown, terminal.shown
    assert content(daemon.secret) == b"geheim"


def test_two_that_differ_are_not_taken(plant):
    daemon = laid_out(plant)
    terminal = Terminal(plant, daemon)
    terminal.wait_for(b"cloud.password: ")
    terminal.type(b"one\n")
    terminal.wait_for(b"once more: ")
    terminal.type(b"two\n")
    assert terminal.end() == 1 and b"entries differ: nothing was written" in terminal.shown
    assert not os.path.exists(daemon.secret)


def test_interrupted_it_leaves_the_terminal_with_its_echo(plant):
    daemon = laid_out(plant)
    terminal = Terminal(plant, daemon)
    terminal.wait_for(b"cloud.password: ")
    assert not termios.tcgetattr(terminal.fd)[3] & termios.ECHO
    terminal.type(b"half\x03")
    terminal.wait_for(b"nothing was written")
    assert terminal.end() == 1 and not os.path.exists(daemon.secret)
