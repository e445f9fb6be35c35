# SPDX-License-Identifier: Apache-2.0
"""A Raspberry Pi Pico that prints its readings as JSON lines and obeys a switch: copy it to the board as main.py.

On a computer without the machine module it runs with made-up values, which is how the tests run it. For haywaind:

    links: ( { name = "pico"; plugin = "serial"; port = "/dev/serial/by-id/usb-MicroPython_Board_…-if00";
               baud = 115200; decode = "json"; } );
    devices: ( { name = "pico"; link = "pico"; points: (
                   { name = "temperature"; field = "env.temp"; unit = "°C"; decimals = 1; },
                   { name = "uptime"; unit = "s"; },
                   { name = "led"; type = "bool"; access = "write";
                     write_template = "{\\"led\\":{value}}\\n"; write_ack = "\\"ok\\": *\\"led\\""; } ); } );
"""
import json
import select
import sys
import time

try:
    from machine import ADC, Pin

    pin = Pin("LED", Pin.OUT)
    sensor = ADC(4)

    def temperature():
        volts = sensor.read_u16() * 3.3 / 65535
        return 27 - (volts - 0.706) / 0.001721  # RP2040 data sheet, 4.9.5

    def set_led(on):
        pin.value(1 if on else 0)
except ImportError:
    def temperature():
        return 21.5

    def set_led(on):
        pass

PERIOD_MS = 1000
led = False
uptime = 0


def say(what):
    print(json.dumps(what))


def obey(line):
    global led
    try:
        order = json.loads(line)
        led = bool(order["led"])
    except (ValueError, KeyError, TypeError):
        say({"error": "not understood"})
        return
    set_led(led)
    say({"ok": "led", "led": led})


poll = select.poll()
poll.register(sys.stdin, select.POLLIN)
while True:
    say({"env": {"temp": temperature()}, "uptime": uptime, "led": led})
    # Until the next reading is due, whatever is asked for is done at once.
    for _ in range(PERIOD_MS // 50):
        if poll.poll(50):
            text = sys.stdin.readline()
            if not text:
                sys.exit()
            if text.strip():
                obey(text)
    uptime += PERIOD_MS // 1000
