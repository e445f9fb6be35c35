# SPDX-License-Identifier: Apache-2.0
"""The devices of the demonstration: a boiler and a meter behind one Modbus TCP address, a cold room behind another.

    plant.py PLANT_PORT COLD_PORT

Their values move as such things do. tests/peers/modbus_device.py does the Modbus.
"""
import asyncio
import logging
import math
import os
import random
import struct
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "peers"))
from modbus_device import Device, Unit, serve  # noqa: E402  pylint: disable=wrong-import-position

START = time.monotonic()


def wave(period, phase=0.0):
    return math.sin((time.monotonic() - START) / period * 2 * math.pi + phase)


def tenths(value):
    return round(value * 10) & 0xFFFF


def words(data):
    return struct.unpack(f">{len(data) // 2}H", data)


class Boiler(Unit):
    def getValues(self, function, address, count=1):
        flow = 61 + 4 * wave(60) + random.uniform(-0.1, 0.1)
        if function == 2:
            return [flow > 58] * count
        self.setValues(function, 2, [tenths(flow), tenths(flow - 11 - 2 * wave(45, 1)), round(55 + 35 * wave(60, 1.6))])
        return super().getValues(function, address, count)


class Meter(Unit):
    energy = 48_211_730.0
    last = START

    def getValues(self, function, address, count=1):
        power = 7.4 + 2.2 * wave(40) + random.uniform(-0.15, 0.15)
        now = time.monotonic()
        self.energy, self.last = self.energy + power * (now - self.last) / 3.6, now
        self.setValues(function, 2, words(struct.pack(">ffQ", 231 + wave(25) + random.uniform(-0.4, 0.4), power,
                                                      int(self.energy))))
        return super().getValues(function, address, count)


class ColdRoom(Unit):
    def getValues(self, function, address, count=1):
        if function == 2:
            return [wave(30) > 0.9] * count
        self.setValues(function, 2, [tenths(-18.4 + 0.8 * wave(70)), tenths(71 + 3 * wave(50, 2))])
        return super().getValues(function, address, count)


def main():
    logging.disable(logging.CRITICAL)
    plant_port, cold_port = int(sys.argv[1]), int(sys.argv[2])
    asyncio.run(serve([Device(plant_port, {1: Boiler(), 2: Meter()}), Device(cold_port, {1: ColdRoom()})]))


if __name__ == "__main__":
    main()
