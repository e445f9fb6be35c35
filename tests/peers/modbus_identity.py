# SPDX-License-Identifier: Apache-2.0
"""A Modbus TCP device that tells what it is (function 43/14): pymodbus, in a process of its own. Prints its port."""
import asyncio

from pymodbus.datastore import ModbusSequentialDataBlock, ModbusServerContext, ModbusSlaveContext
from pymodbus.device import ModbusDeviceIdentification
from processes import free_port

try:
    from pymodbus.server import ModbusTcpServer
except ImportError:  # Debian 12's release
    from pymodbus.server.async_io import ModbusTcpServer


async def main():
    port = free_port()
    identity = ModbusDeviceIdentification(info_name={
        "VendorName": "Barn & Sons", "ProductCode": "BS-100", "MajorMinorRevision": "2.17",
        "VendorUrl": "http://barn.example", "ProductName": "Hay dryer", "ModelName": "Dryer 100",
        "UserApplicationName": "Loft"})
    units = ModbusServerContext(slaves={1: ModbusSlaveContext(hr=ModbusSequentialDataBlock(1, [0] * 100))},
                                single=False)
    server = ModbusTcpServer(units, identity=identity, address=("127.0.0.1", port))
    serving = asyncio.ensure_future(server.serve_forever())
    while not getattr(server, "server", None) and not getattr(server, "transport", None):
        await asyncio.sleep(0.01)
    print(port, flush=True)
    await serving


asyncio.run(main())
