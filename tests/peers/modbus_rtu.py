# SPDX-License-Identifier: Apache-2.0
"""Modbus RTU slaves that are not ours: pymodbus on a serial port, in a process of its own.

    modbus_rtu.py PORT UNIT...

Holding register a of unit u holds 100 * u + a.
"""
import asyncio
import sys

from pymodbus.datastore import ModbusSequentialDataBlock, ModbusServerContext, ModbusSlaveContext

try:
    from pymodbus.server import StartAsyncSerialServer
except ImportError:  # Debian 12's release
    from pymodbus.server.async_io import StartAsyncSerialServer

try:
    from pymodbus.transaction import ModbusRtuFramer as FRAMER
except ImportError:
    from pymodbus.framer import FramerType
    FRAMER = FramerType.RTU


def main():
    units = {}
    for number in map(int, sys.argv[2:]):
        # Both releases count a block's addresses from 1; only the older one could be told otherwise.
        block = ModbusSequentialDataBlock(1, [100 * number + a for a in range(100)])
        units[number] = ModbusSlaveContext(hr=block)
    asyncio.run(StartAsyncSerialServer(context=ModbusServerContext(slaves=units, single=False), framer=FRAMER,
                                       port=sys.argv[1], baudrate=19200, ignore_missing_slaves=True))


if __name__ == "__main__":
    main()
