// SPDX-License-Identifier: Apache-2.0
// A Modbus TCP device that is not ours: npm's modbus-serial. node modbus_npm.js PORT, with NODE_PATH set.
// Holding register a of unit u holds 100 * u + a, input register a holds 5000 + a, every third coil is set.
const { ServerTCP } = require("modbus-serial");

const server = new ServerTCP({
	getHoldingRegister: (address, unit) => 100 * unit + address,
	getInputRegister: (address) => 5000 + address,
	getCoil: (address) => address % 3 === 0,
	getDiscreteInput: (address) => address % 3 === 1,
}, { host: "127.0.0.1", port: Number(process.argv[2]), unitID: 255 });

server.on("socketError", () => {});
