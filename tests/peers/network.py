# SPDX-License-Identifier: Apache-2.0
"""A network of our own, in which the daemon lives and lines can be cut: packets vanish, nobody says so."""
import itertools
import os
import subprocess

_numbers = itertools.count()


def _ip(*words):
    subprocess.run(["ip", *words], check=True, stdin=subprocess.DEVNULL)


class Line:
    """One cable from the network to the test. `here` is the test's address, `nobody` one that never answers."""

    def __init__(self, network, number):
        self.name = f"hw{os.getpid()}n{number}"  # interface names end at 15 characters
        block = (os.getpid() * 8 + number) % (2 << 14) * 8
        base = f"198.{18 + (block >> 16)}.{block >> 8 & 255}."
        self.here, there, self.nobody = (base + str((block & 255) + i) for i in (1, 2, 3))
        _ip("link", "add", self.name, "type", "veth", "peer", "name", "line" + str(number), "netns", network)
        self.network, self.inside, self.there = network, f"line{number}", there
        _ip("addr", "add", self.here + "/29", "dev", self.name)
        _ip("link", "set", self.name, "up")
        _ip("-n", network, "addr", "add", there + "/29", "dev", f"line{number}")
        _ip("-n", network, "link", "set", f"line{number}", "up")
        with open(f"/sys/class/net/{self.name}/address", encoding="ascii") as f:
            address = f.read().strip()
        # Known neighbours are never asked for: without an answer the kernel would say "no route" after 3 s.
        for neighbour, mac in ((self.here, address), (self.nobody, "02:00:00:00:00:01")):
            _ip("-n", network, "neigh", "replace", neighbour, "lladdr", mac, "dev", f"line{number}", "nud", "permanent")

    def cut(self):
        _ip("link", "set", self.name, "down")

    def mend(self):
        _ip("link", "set", self.name, "up")

    def refresh_here(self):
        """What a router that repeats itself, a renewed lease and a scan of a radio say: nothing that is new."""
        _ip("-n", self.network, "addr", "change", self.there + "/29", "dev", self.inside, "valid_lft", "9000", "preferred_lft", "9000")
        _ip("-n", self.network, "link", "set", self.inside, "alias", "still the same")

    def route_elsewhere(self):
        """What a routing daemon and containers do all day: a route that comes and goes, and leads to others."""
        for verb in ("add", "del"):
            _ip("-n", self.network, "route", verb, "192.0.2.0/24", "dev", self.inside)

    def default_route(self):
        """The last thing a modem does when it is online."""
        _ip("-n", self.network, "route", "add", "default", "via", self.here)

    def cut_here(self):
        """The plug on the daemon's own machine: it knows."""
        _ip("-n", self.network, "link", "set", self.inside, "down")

    def mend_here(self):
        _ip("-n", self.network, "link", "set", self.inside, "up")


class Network:
    def __init__(self, directory):
        self.dir = directory
        self.name = f"haywain-{os.getpid()}-{next(_numbers)}"
        self._lines = []
        _ip("netns", "add", self.name)
        _ip("-n", self.name, "link", "set", "lo", "up")

    def line(self):
        line = Line(self.name, next(_numbers))
        self._lines.append(line)
        return line

    def names(self, server="127.0.0.1"):
        """Who is asked for names; and a file of hosts, empty at first. Gives the path of the latter."""
        hosts = os.path.join(self.dir, "hosts")
        for file, text in (("resolv.conf", f"nameserver {server}\n"), ("hosts", ""), ("nsswitch.conf", "hosts: files dns\n")):
            with open(os.path.join(self.dir, file), "w", encoding="ascii") as f:
                f.write(text)
        return hosts

    def argv(self):
        """What to put before a program so that it lives here. It keeps its process number."""
        binds = "".join(f"mount --bind {self.dir}/{file} /etc/{file} && " for file in ("resolv.conf", "hosts", "nsswitch.conf")
                        if os.path.exists(os.path.join(self.dir, file)))
        return ["ip", "netns", "exec", self.name, "sh", "-c", binds + 'exec "$@"', "sh"]

    def close(self):
        for line in self._lines:
            subprocess.run(["ip", "link", "del", line.name], check=False, stderr=subprocess.DEVNULL)
        _ip("netns", "del", self.name)
