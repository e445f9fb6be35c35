#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The demonstration: devices, gateway and broker on this machine; the broker goes away and comes back; then the account.

    run.py [--seconds N]        without it: until Ctrl-C. Exit status 0 only if nothing was lost.
"""
import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(HERE)
sys.path.insert(0, os.path.join(TOP, "tests", "peers"))
from broker import Broker  # noqa: E402
from certificates import Authority  # noqa: E402
from mqtt import Account, Subscriber  # noqa: E402
from processes import Lines, NotifySocket, answers, free_port, spawn, stop, wait_until  # noqa: E402

GATEWAY = "demo-plant"
# device: which simulator, which unit
DEVICES = {"boiler": (0, "1"), "meter": (0, "2"), "cold-room": (1, "1")}
COLOUR = sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb" and "NO_COLOR" not in os.environ
INK = {"boiler": "38;5;209", "meter": "38;5;117", "cold-room": "38;5;147", "dim": "2", "bold": "1", "good": "1;32",
       "bad": "1;31", "warn": "33"}
# How wide a value is where it is not 5: with these a line fits 80 columns.
WIDTHS = {"pump": 3, "flow": 4, "return": 4, "burner": 3, "energy": 7, "door": 6, "humidity": 4}


def ink(style, text):
    return f"\033[{INK[style]}m{text}\033[0m" if COLOUR else text


class Screen:
    """Whole lines, from any thread."""

    def __init__(self):
        self._lock = threading.Lock()

    def line(self, text=""):
        with self._lock:
            print(text, flush=True)

    @staticmethod
    def width():
        return min(shutil.get_terminal_size((100, 24)).columns, 110)

    def headline(self, text, style="bold"):
        width = self.width()
        self.line()
        self.line(ink(style, "── " + text + " " + "─" * max(3, width - len(text) - 4)))


screen = Screen()


class Demo:
    def __init__(self, directory):
        self.dir = directory
        self.points = {}  # device -> point -> its type and unit, as the gateway tells
        self.account = Account()
        self.daemon = None
        self.broker_is_away = False
        self.ended = False
        self.plant_lock = threading.Lock()

    # ---- the parts ----

    def start(self):
        daemon = os.path.join(os.path.abspath(os.path.join(TOP, os.environ.get("HAYWAIN_BUILD", "build/plain"))), "haywaind")
        if not os.path.exists(daemon):
            sys.exit(f"{daemon} is not there: run `make demo`, which builds it")
        authority = Authority(os.path.join(self.dir, "ca"), "Haywain demonstration CA")
        self.broker = Broker(os.path.join(self.dir, "broker"), authority).start()
        ports = free_port(), free_port()
        self.plant = spawn([sys.executable, os.path.join(HERE, "plant.py"), *ports], stdin=subprocess.PIPE,
                           stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        wait_until(lambda: all(answers(p) for p in ports) or self.plant.poll() is not None, 30, "the devices to listen")
        if self.plant.poll() is not None:
            sys.exit("the Modbus simulator does not start; `python3 demo/plant.py 1502 1503` shows why")
        self.subscriber = Subscriber(self.broker.tls_port, (f"haywain/{GATEWAY}/#",), authority.file, on_message=self.hear).start()

        with open(os.path.join(HERE, "haywain.conf.in"), encoding="utf-8") as f:
            text = f.read()
        for word, value in (("DIR", self.dir), ("BROKER_PORT", self.broker.tls_port), ("PLANT_PORT", ports[0]),
                            ("COLD_PORT", ports[1])):
            text = text.replace("{" + word + "}", str(value))
        path = os.path.join(self.dir, "haywain.conf")
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)

        version = subprocess.run([daemon, "--version"], capture_output=True, text=True, check=False).stdout.strip()
        screen.headline("Haywain: from field devices to a broker, and nothing lost on the way")
        screen.line(f"  devices   boiler and meter  tcp://127.0.0.1:{ports[0]}    (Modbus TCP, simulated)")
        screen.line(f"            cold-room         tcp://127.0.0.1:{ports[1]}")
        screen.line(f"  gateway   {version or 'haywaind'}, configured by demo/haywain.conf.in")
        screen.line(f"  broker    mosquitto, mqtts://localhost:{self.broker.tls_port}, its certificate made just now")
        screen.line(ink("dim", f"  files     {self.dir}"))
        screen.line(ink("dim", f"  look      {os.path.relpath(os.path.dirname(daemon))}/haywain -s {self.dir}/api.sock status"))
        screen.headline("readings, as they arrive at a subscriber of the broker")

        self.notify = NotifySocket(os.path.join(self.dir, "notify"))
        environment = {**os.environ, "NOTIFY_SOCKET": self.notify.path,
                       "HAYWAIN_PLUGIN_DIR": os.path.join(os.path.dirname(daemon), "plugins")}
        environment.pop("JOURNAL_STREAM", None)
        self.daemon = spawn([daemon, "-c", path], env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                            stderr=subprocess.PIPE)
        self.log = Lines(self.daemon.stderr, self)
        wait_until(lambda: self.notify.count("READY=1") or self.daemon.poll() is not None, 20, "haywaind to be ready")
        self.alive()

    def alive(self):
        if self.daemon.poll() is not None:
            self.log.join()
            raise RuntimeError(f"haywaind has ended with status {self.daemon.returncode}")

    def stop(self):
        self.ended = True
        if self.daemon:
            stop(self.daemon)
        for attribute, end in (("subscriber", lambda s: s.close()), ("plant", stop), ("broker", lambda b: b.close())):
            if hasattr(self, attribute):
                end(getattr(self, attribute))

    # ---- what is heard ----

    def write(self, line):
        """A line of the daemon's log."""
        if self.ended:
            return
        for part in textwrap.wrap(line.rstrip(), screen.width() - 13, subsequent_indent=" " * 13):
            screen.line(ink("dim", "  haywaind │ " + part))

    def flush(self):
        pass

    def hear(self, message):
        parts = message.topic.split("/")
        if parts[2] == "device" and message.payload:
            card = message.json()
            if card.get("points"):
                self.points[parts[3]] = card["points"]
        elif parts[2] == "data":
            for sample in self.account.take(message, parts[3]):
                if parts[3] in DEVICES:  # and not what the gateway says of itself
                    self.show(sample, parts[3], message.at)

    def show(self, sample, device, at):
        cells = []
        for point, value in {**sample.get("values", {}), **sample.get("quality", {})}.items():
            if point == "polls":
                continue
            card = self.points.get(device, {}).get(point, {})
            unit = card.get("unit", "")
            if isinstance(value, bool):
                value = {"pump": ("off", "on"), "door": ("closed", "open")}.get(point, ("false", "true"))[value]
            elif card.get("type", "").startswith("float") and not isinstance(value, str):
                value = f"{value:.2f}" if unit == "kW" else f"{value:.1f}"
            cells.append(f"{point} {ink('bold', f'{value:>{WIDTHS.get(point, 5)}}')} {unit}".rstrip())
        seconds = sample["ts"] / 1000
        clock = time.strftime("%H:%M:%S", time.localtime(seconds)) + f".{sample['ts'] % 1000:03d}"
        mark = ink("warn", "↺") if at - seconds > 1 else " "
        screen.line(f"{mark} {ink('dim', clock)}  {ink(device, f'{device:<9}')}  " + "  ".join(cells))

    # ---- the account ----

    def answered(self):
        """How many polls each device answered, by its own count."""
        counts = []
        with self.plant_lock:
            for which in (0, 1):
                self.plant.stdin.write(json.dumps({"device": which}) + "\n")
                self.plant.stdin.flush()
                counts.append(json.loads(self.plant.stdout.readline())["counts"])
        return {device: counts[which][unit] for device, (which, unit) in DEVICES.items()}

    def missing(self, answered):
        """Polls that were answered and have not arrived, by device."""
        return {device: set(range(1, n + 1)) - set(self.account.counts(device)) for device, n in answered.items()}

    def report(self):
        """The account up to this moment. Gives whether nothing was lost."""
        answered = self.answered()
        try:
            wait_until(lambda: not any(self.missing(answered).values()), 20, "the rest to arrive", 0.05)
        except TimeoutError:
            pass
        missing = self.missing(answered)
        points = {device: max(len(self.points.get(device, {})), 1) for device in DEVICES}
        taken = sum(n * points[device] for device, n in answered.items())
        lost = sum(len(polls) * points[device] for device, polls in missing.items())
        twice = 0
        for device in DEVICES:
            seen = set()
            for sample in list(self.account.samples.get(device, [])):
                twice += points[device] if sample["seq"] in seen else 0
                seen.add(sample["seq"])
        disordered = sum(len(self.account.out_of_order(device)) for device in DEVICES)
        screen.headline("the account: devices count their answers, readings carry numbers")
        polls = ", ".join(f"{device} {n}" for device, n in answered.items())
        screen.line(f"  readings taken       {taken:>7}    " + ink("dim", f"in {sum(answered.values())} polls: {polls}"))
        screen.line(f"  readings delivered   {taken - lost:>7}")
        screen.line(f"  lost                 {ink('bad' if lost else 'good', f'{lost:>7}')}")
        screen.line(f"  delivered twice      {twice:>7}    " + ink("dim", "in flight as the broker went: seq tells which"))
        if disordered:
            screen.line(ink("bad", f"  out of order         {disordered:>7}"))
        screen.line()
        well = not lost and not disordered and taken > 0
        screen.line(ink("good", "  Nothing was lost.") if well else ink("bad", "  This should not have happened."))
        screen.line()
        return well

    # ---- the play ----

    def away(self, seconds, until):
        screen.headline("the broker is stopped: the field goes on, the queue keeps what it says", "warn")
        self.broker_is_away = True
        self.broker.stop()
        end = time.monotonic() + seconds
        while time.monotonic() < end and not until.is_set():
            until.wait(1)
            self.alive()
            waiting = sum(len(polls) for polls in self.missing(self.answered()).values())
            bar = "█" * min(waiting, 60)
            screen.line("  " + ink("warn", f"queue {waiting:>4} samples wait  {bar}"))
        self.back()

    def back(self):
        if not self.broker_is_away:
            return
        screen.headline("the broker is back: the oldest reading goes first (↺ from the queue)", "good")
        self.broker.start()
        self.broker_is_away = False

    def play(self, seconds, until):
        if seconds:
            seconds = max(seconds, 8)
            begin, gap = seconds * 0.3, seconds * 0.3
            until.wait(begin)
            if not until.is_set():
                self.away(gap, until)
            until.wait(seconds - begin - gap)
        else:
            screen.line(ink("dim", "  Ctrl-C ends it, with the account."))
            while not until.is_set():
                self.pause(12, until)
                if not until.is_set():
                    self.away(10, until)
                    self.pause(18, until)
        self.back()
        self.alive()

    def pause(self, seconds, until):
        end = time.monotonic() + seconds
        while time.monotonic() < end and not until.is_set():
            until.wait(0.5)
            self.alive()


def take_terminal():
    """Ctrl-C is for us, not for the make that started us. Gives what undoes it."""
    try:
        if not sys.stdin.isatty() or os.tcgetpgrp(0) != os.getpgrp() or os.getpid() == os.getpgrp():
            return lambda: None
        before = os.getpgrp()
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)
        os.setpgid(0, 0)
        os.tcsetpgrp(0, os.getpgrp())
        return lambda: os.tcsetpgrp(0, before)
    except OSError:
        return lambda: None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=0)
    seconds = parser.parse_args().seconds
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(encoding="utf-8", errors="replace")

    until = threading.Event()

    def interrupt(_number, _frame):
        if until.is_set():
            raise KeyboardInterrupt
        until.set()

    give_back = take_terminal()
    signal.signal(signal.SIGINT, interrupt)
    signal.signal(signal.SIGTERM, interrupt)
    directory = tempfile.mkdtemp(prefix="haywain-demo-")
    demo = Demo(directory)
    status = 1
    try:
        demo.start()
        demo.play(seconds, until)
        status = 0 if demo.report() else 1
    except (RuntimeError, TimeoutError) as fault:
        screen.line(ink("bad", f"  The demonstration ends: {fault}"))
    except KeyboardInterrupt:
        screen.line("  Interrupted again: no account.")
    finally:
        demo.stop()
        if status == 0:
            shutil.rmtree(directory, ignore_errors=True)
        else:
            screen.line(f"  What is left lies in {directory}")
        give_back()
    return status


if __name__ == "__main__":
    sys.exit(main())
