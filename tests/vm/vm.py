# SPDX-License-Identifier: Apache-2.0
"""A Debian guest in qemu: it is booted, told commands, unplugged, and has its power cut.

    with vm.Machine(vm.image("gateway", package=vm.package())) as machine:
        machine.start()
        machine.run("systemctl is-system-running --wait")

The guest's network has nothing but this host, as 10.0.2.2: what listens here on 127.0.0.1 is reached there.
"""
import base64
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tests", "peers"))

from processes import spawn, stop, wait_until  # noqa: E402

HOST = "10.0.2.2"  # this host, seen from the guest
GATEWAY_MODULES = ("xhci_pci", "ftdi_sio", "cdc_acm")  # of the image "gateway", for all tests of the package
SLOW = 300  # s; a deadline for what takes a guest seconds, on a machine that has other things to do


def package():
    """The package that make deb left."""
    found = subprocess.run(["sh", "-c", ". packaging/release.sh; newest_package"], cwd=TOP, check=True, text=True,
                           stdout=subprocess.PIPE).stdout.strip()
    if not found:
        raise RuntimeError("make deb has not left a package in build/deb")
    return os.path.join(TOP, found)


def image(name, package=None, packages=(), modules=(), files=None):
    """The folder of a guest: tests/vm/image makes it, or finds it as it has to be."""
    argv = [os.path.join(TOP, "tests", "vm", "image"), name]
    for option, values in (("-d", [package]), ("-p", packages), ("-m", modules), ("-f", [files])):
        argv += [word for value in values if value for word in (option, value)]
    subprocess.run(argv, stdin=subprocess.DEVNULL, check=True)
    return os.path.join(TOP, "build", "vm", name)


class Machine:
    """arguments: more for qemu. share: a folder of the host, to be had in the guest by mount_share().
    The root disk is as fresh at each start; what is to last lies on a disk of its own."""

    def __init__(self, image, arguments=(), memory_mb=512, share=None):
        self.image, self.arguments, self.memory_mb, self.share = image, list(arguments), memory_mb, share
        self.dir = tempfile.mkdtemp(prefix="haywain-vm-")
        self.console = os.path.join(self.dir, "console")
        self.process = None
        self.events = []  # of QMP
        self._shell = self._qmp = self._qmp_lines = None
        self._heard = b""

    def __enter__(self):
        return self

    def __exit__(self, kind, fault, trace):
        if kind:
            print(f"--      the end of the guest's console:\n{self.console_tail()}", flush=True)
        self.close()

    def _argv(self):
        def path(name):
            return os.path.join(self.dir, name)

        # An old processor has less to emulate: "max" takes half as long again to boot. On a busy machine the guest gives up
        # over its timers, and calibrates its TSC wrong by a factor, unless it is told not to look at either.
        argv = ["qemu-system-x86_64", "-M", "q35", "-accel", "tcg,thread=multi", "-cpu", "Nehalem", "-smp", "2",
                "-m", str(self.memory_mb), "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
                "-kernel", f"{self.image}/vmlinuz", "-initrd", f"{self.image}/initrd.gz",
                "-append", "console=ttyS0 quiet panic=-1 mitigations=off net.ifnames=0 no_timer_check clocksource=hpet",
                "-drive", f"file={self.image}/root.ext4,if=none,id=root,format=raw,snapshot=on",
                "-device", "virtio-blk-pci,drive=root", "-device", "virtio-rng-pci",
                "-netdev", "user,id=net,ipv6=off", "-device", "virtio-net-pci,netdev=net,romfile=",
                "-serial", f"file:{self.console}", "-device", "virtio-serial-pci",
                "-chardev", f"socket,id=shell,path={path('shell')},server=on,wait=off",
                "-device", "virtserialport,chardev=shell,name=shell",
                "-qmp", f"unix:{path('qmp')},server=on,wait=off"]
        if self.share:
            argv += ["-virtfs", f"local,path={self.share},mount_tag=share,security_model=none,multidevs=remap"]
        return argv + self.arguments

    def start(self, timeout=SLOW):
        """Boots, and waits for the guest's shell. Gives the seconds that took."""
        begin = time.monotonic()
        for name in ("shell", "qmp"):
            if os.path.exists(os.path.join(self.dir, name)):
                os.unlink(os.path.join(self.dir, name))
        self.events, self._heard = [], b""
        # TCG, not KVM: where this machine is a guest itself, a stock kernel does not boot with every KVM.
        self.process = spawn(self._argv(), stdin=subprocess.DEVNULL)
        self._qmp = self._connect("qmp")
        self._qmp_lines = self._qmp.makefile("r", encoding="utf-8")
        json.loads(self._qmp_lines.readline())
        self.qmp("qmp_capabilities")
        self._shell = self._connect("shell")
        self._hear(rb"@@HELLO [^\n]*\n", timeout, "its shell")
        return time.monotonic() - begin

    def _connect(self, name):
        def connected():
            if self.process.poll() is not None:
                raise RuntimeError(f"qemu ended with {self.process.returncode}")
            s = socket.socket(socket.AF_UNIX)
            try:
                s.connect(os.path.join(self.dir, name))
                return s
            except OSError:
                s.close()
                return None
        s = wait_until(connected, 60, f"qemu's socket {name}")
        s.settimeout(SLOW)
        return s

    def _hear(self, pattern, timeout, what):
        deadline = time.monotonic() + timeout
        while True:
            found = re.search(pattern, self._heard)
            if found:
                before, self._heard = self._heard[:found.start()], self._heard[found.end():]
                return before, found
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"waited {timeout} s for the guest: {what}")
            self._shell.settimeout(left)
            try:
                data = self._shell.recv(65536)
            except socket.timeout:
                continue
            if not data:
                raise EOFError("the guest is gone")
            self._heard += data

    def run(self, command, timeout=SLOW, check=True):
        """A bash command in the guest: what it prints. check=False: (exit status, what it prints)."""
        self._shell.settimeout(timeout)
        self._shell.sendall(base64.b64encode(command.encode()) + b"\n")
        before, found = self._hear(rb"@@RC=(\d+)\r?\n", timeout, command)
        status, output = int(found.group(1)), before.decode(errors="replace").replace("\r\n", "\n")
        if not check:
            return status, output
        if status:
            raise RuntimeError(f"exit status {status} of {command}:\n{output}")
        return output

    def within(self, command, timeout=SLOW):
        """Until the command succeeds in the guest: what it prints then."""
        deadline = time.monotonic() + timeout
        while True:
            status, output = self.run(command, timeout, check=False)
            if status == 0:
                return output
            if time.monotonic() > deadline:
                raise TimeoutError(f"waited {timeout} s for {command}:\n{output}")

    def mount_share(self, where="/share"):
        self.run(f"mkdir -p {where} && mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144 share {where}")

    def qmp(self, command, **arguments):
        self._qmp.sendall(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
        while True:
            answer = json.loads(self._qmp_lines.readline())
            if "event" in answer:
                self.events.append(answer)
            elif "error" in answer:
                raise RuntimeError(f"{command}: {answer['error']['desc']}")
            else:
                return answer["return"]

    def wait_event(self, name, **data):
        """The first event of that name with these data, among those that came and those to come."""
        def fits(event):
            return event["event"] == name and all(event.get("data", {}).get(k) == v for k, v in data.items())

        while True:
            for event in self.events:
                if fits(event):
                    self.events.remove(event)
                    return event
            self.events.append(json.loads(self._qmp_lines.readline()))

    def console_tail(self, lines=30):
        try:
            with open(self.console, encoding="utf-8", errors="replace") as f:
                return "\n".join(f.read().splitlines()[-lines:])
        except OSError:
            return ""

    def cut_power(self):
        self.process.kill()
        self.process.wait()
        self._forget()

    def power_off(self, timeout=SLOW):
        """In good order."""
        self._shell.sendall(base64.b64encode(b"systemctl poweroff --no-block") + b"\n")
        try:
            self.process.wait(timeout)
        finally:
            self.cut_power()

    def _forget(self):
        for s in (self._shell, self._qmp, self._qmp_lines):
            if s:
                s.close()
        self._shell = self._qmp = self._qmp_lines = None

    def close(self):
        stop(self.process, signal.SIGKILL)
        self._forget()
        shutil.rmtree(self.dir, ignore_errors=True)


class Report:
    """Counts checks; ends a program with one line, `N passed, N failed`, and its exit status."""

    def __init__(self):
        self.passed = self.failed = 0

    def say(self, text):
        print(f"--      {text}", flush=True)

    def check(self, what, good, detail=""):
        if good:
            self.passed += 1
        else:
            self.failed += 1
        print(f"{'ok     ' if good else 'FAILED '} {what}" + (f": {detail}" if detail else ""), flush=True)
        return good

    def run(self, program):
        """program(report), to its end or to a fault, which counts as a failed check."""
        if os.geteuid() != 0:
            self.check("this test runs as root", False)
        else:
            try:
                program(self)
            except Exception as fault:  # the count comes, whatever happens
                traceback.print_exc()
                self.check("the test came to its end", False, str(fault))
        self.end()

    def end(self):
        print(f"{self.passed} passed, {self.failed} failed", flush=True)
        sys.exit(1 if self.failed or not self.passed else 0)
