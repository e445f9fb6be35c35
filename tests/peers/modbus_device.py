# SPDX-License-Identifier: Apache-2.0
"""A Modbus TCP device that is not ours: pymodbus, in a process of its own.

    modbus_device.py PORT [UNIT...]

Each unit has input and holding registers. Input 0-1 is a counter (uint32, high word first) that grows by one
with every request that reads it, so that a reader knows each poll. Other registers hold what they were set to.
Commands come as JSON lines on standard input, each is answered by one line on standard output:
    {"set": [unit, address, [values]]}   {"refuse": [unit, address]}    exception 2 for requests that touch it
    {"silent": [units]}                  these do not answer at all
    {"ask": true}                        {"counts": {unit: n}}
"""
import asyncio
import json
import sys
import threading

from pymodbus.datastore import ModbusServerContext
from pymodbus.exceptions import NoSuchSlaveException

try:
    from pymodbus.server import ModbusTcpServer
except ImportError:  # Debian 12's release
    from pymodbus.server.async_io import ModbusTcpServer


class Unit:
    """The interface of a pymodbus datastore, over a dictionary. READS is what pymodbus asks for in a read."""

    def __init__(self, values=None):
        self.registers = values or {}
        self.refused = set()
        self.count = 0
        self.moment = None  # called before each counted read: lets a plant move

    def decode(self, function):
        return "i" if function == 4 else "h"

    def validate(self, function, address, count=1):  # pylint: disable=unused-argument
        return not any(address <= bad < address + count for bad in self.refused)

    def getValues(self, function, address, count=1):
        if function in (3, 4) and address == 0:
            self.count += 1
            if self.moment:
                self.moment(self)
            self.registers[0], self.registers[1] = self.count >> 16, self.count & 0xFFFF
        return [self.registers.get(a, 0) for a in range(address, address + count)]

    def setValues(self, function, address, values):  # pylint: disable=unused-argument
        for i, value in enumerate(values):
            self.registers[address + i] = value

    async def async_getValues(self, function, address, count=1):
        return self.getValues(function, address, count)

    async def async_setValues(self, function, address, values):
        self.setValues(function, address, values)


class Units(ModbusServerContext):
    """The units behind one address; the silent ones look missing, and missing ones do not answer."""

    def __init__(self, units):
        super().__init__(slaves=units, single=False)
        self.units = units
        self.silent = set()

    def __getitem__(self, unit):
        if unit in self.silent or unit not in self.units:
            raise NoSuchSlaveException(f"unit {unit} does not answer")
        return self.units[unit]


class Device:
    def __init__(self, port, units):
        self.context = Units(units)
        self.port = port

    async def serve(self):
        options = {"address": ("127.0.0.1", self.port), "ignore_missing_slaves": True}
        try:
            server = ModbusTcpServer(self.context, allow_reuse_address=True, **options)
        except TypeError:  # later releases always do
            server = ModbusTcpServer(self.context, **options)
        await server.serve_forever()

    def command(self, line):
        units = self.context.units
        order = json.loads(line)
        if "set" in order:
            unit, address, values = order["set"]
            units[unit].setValues(6, address, values)
        if "refuse" in order:
            unit, address = order["refuse"]
            units[unit].refused.add(address)
        if "accept" in order:
            unit, address = order["accept"]
            units[unit].refused.discard(address)
        if "silent" in order:
            self.context.silent = set(order["silent"])
        return {"counts": {str(number): unit.count for number, unit in units.items()}}


async def serve(devices):
    """Serve all, and obey standard input until it ends."""
    loop = asyncio.get_running_loop()

    def obey():
        for line in sys.stdin:
            which = json.loads(line).get("device", 0)
            print(json.dumps(devices[which].command(line)), flush=True)
        loop.call_soon_threadsafe(done.set)

    done = asyncio.Event()
    threading.Thread(target=obey, daemon=True).start()
    serving = [asyncio.ensure_future(d.serve()) for d in devices]
    waiting = asyncio.ensure_future(done.wait())
    await asyncio.wait([waiting, *serving], return_when=asyncio.FIRST_COMPLETED)
    for task in serving:
        if task.done():
            task.result()


def main():
    port, numbers = int(sys.argv[1]), [int(n) for n in sys.argv[2:]] or [1]
    asyncio.run(serve([Device(port, {n: Unit() for n in numbers})]))


if __name__ == "__main__":
    main()
