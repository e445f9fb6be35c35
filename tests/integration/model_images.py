# SPDX-License-Identifier: Apache-2.0
"""
What a device of each shipped model with registers answers, by the manual's table: the function, its registers in
hexadecimal, and the readings that must come of them. Those of the PZEM-016, the XY-MD02 and the SDM120, and the pv_power
of the Tracer, are examples of manuals and public reports; SunSpec 103 is a Fronius Symo by night (evcc-io/evcc 16924).
"""
import struct


def floats(*values):
    return struct.pack(f">{len(values)}f", *values).hex()


def longs(*values):
    return b"".join(struct.pack(">I", v & 0xFFFFFFFF) for v in values).hex()


def swapped(*values):
    """32 bits, the low register first."""
    return b"".join(struct.pack(">HH", v & 0xFFFF, v >> 16 & 0xFFFF) for v in values).hex()


def quads(*values):
    return struct.pack(f">{len(values)}Q", *values).hex()


def words(*values):
    return b"".join(struct.pack(">H", v & 0xFFFF) for v in values).hex()


def text(value, registers):
    return value.encode().ljust(2 * registers, b"\0").hex()


COMMON = {40004: text("Fronius", 16), 40020: text("Symo 5.0-3-M", 16), 40036: text("3.31.1-7", 8),
          40044: text("0.3.30.1", 8), 40052: text("28093020", 16)}
COMMON_VALUES = {"manufacturer": "Fronius", "model": "Symo 5.0-3-M", "version": "0.3.30.1", "serial_number": "28093020"}

IMAGES = {
    "abb-b23": (3, {
        0x5000: quads(123456, 6543), 0x5460: quads(40001, 40002, 43453, 2001, 2002, 2540),
        0x5B00: longs(2301, 2312, 2323), 0x5B0C: longs(1234, 567, 89), 0x5B14: longs(-271828, -100001, -100002, -71825),
        0x5B2C: words(4998), 0x5B3A: words(-990, -991, 992, 993)}, {
        "energy_import": 1234.56, "energy_export": 65.43,
        "energy_import_l1": 400.01, "energy_import_l2": 400.02, "energy_import_l3": 434.53,
        "energy_export_l1": 20.01, "energy_export_l2": 20.02, "energy_export_l3": 25.4,
        "voltage_l1": 230.1, "voltage_l2": 231.2, "voltage_l3": 232.3,
        "current_l1": 12.34, "current_l2": 5.67, "current_l3": 0.89,
        "power": -2718.28, "power_l1": -1000.01, "power_l2": -1000.02, "power_l3": -718.25, "frequency": 49.98,
        "power_factor": -0.99, "power_factor_l1": -0.991, "power_factor_l2": 0.992, "power_factor_l3": 0.993}),
    "carlo-gavazzi-em24": (4, {
        0x0000: swapped(2301, 2312, 2323), 0x000C: swapped(-1234, 70000, 89, -2000, 3001, 4002), 0x0028: swapped(5003),
        0x0032: words(-990, 991, 992, 993), 0x0037: words(499), 0x003E: swapped(1234567), 0x0042: swapped(42),
        0x0046: swapped(400001, 400002, 434564), 0x005C: swapped(98765)}, {
        "voltage_l1": 230.1, "voltage_l2": 231.2, "voltage_l3": 232.3,
        "current_l1": -1.234, "current_l2": 70, "current_l3": 0.089,
        "power_l1": -200, "power_l2": 300.1, "power_l3": 400.2, "power": 500.3,
        "power_factor_l1": -0.99, "power_factor_l2": 0.991, "power_factor_l3": 0.992, "power_factor": 0.993,
        "frequency": 49.9, "energy_import": 123456.7, "energy_import_l1": 40000.1, "energy_import_l2": 40000.2,
        "energy_import_l3": 43456.4, "energy_export": 9876.5}),
    "chint-dtsu666": (3, {
        0x101E: floats(1234.5), 0x1028: floats(67.25),
        0x2000: floats(4001, 4002, 4003, 2301, 2302, 2303, 1001, 1002, 1003, -6001, -2001, -2002, -2003,
                       304, 101, 102, 103),
        0x202A: floats(-990, -991, 992, 993), 0x2044: floats(4998)}, {
        "energy_import": 1234.5, "energy_export": 67.25,
        "voltage_l1_l2": 400.1, "voltage_l2_l3": 400.2, "voltage_l3_l1": 400.3,
        "voltage_l1": 230.1, "voltage_l2": 230.2, "voltage_l3": 230.3,
        "current_l1": 1.001, "current_l2": 1.002, "current_l3": 1.003,
        "power": -600.1, "power_l1": -200.1, "power_l2": -200.2, "power_l3": -200.3,
        "reactive_power": 30.4, "reactive_power_l1": 10.1, "reactive_power_l2": 10.2, "reactive_power_l3": 10.3,
        "power_factor": -0.99, "power_factor_l1": -0.991, "power_factor_l2": 0.992, "power_factor_l3": 0.993,
        "frequency": 49.98}),
    "eastron-sdm120": (4, {
        0x0000: "43663334", 0x0006: floats(1.26), 0x000C: floats(-196.3), 0x0012: floats(223.4), 0x0018: floats(92.2),
        0x001E: floats(-0.91), 0x0046: floats(50, 478.492, 6.216, 172.75, 2.844), 0x0156: floats(484.708)}, {
        "voltage": 230.2, "current": 1.26, "power": -196.3, "apparent_power": 223.4, "reactive_power": 92.2,
        "power_factor": -0.91, "frequency": 50, "energy_import": 478.492, "energy_export": 6.216,
        "reactive_energy_import": 172.75, "reactive_energy_export": 2.844, "energy": 484.708}),
    "eastron-sdm220": (4, {
        0x0000: floats(230.2), 0x0006: floats(1.26), 0x000C: floats(-196.3), 0x0012: floats(223.4), 0x0018: floats(92.2),
        0x001E: floats(-0.91), 0x0024: floats(24.5), 0x0046: floats(50, 478.492, 6.216, 172.75, 2.844),
        0x0156: floats(484.708, 175.594)}, {
        "voltage": 230.2, "current": 1.26, "power": -196.3, "apparent_power": 223.4, "reactive_power": 92.2,
        "power_factor": -0.91, "phase_angle": 24.5, "frequency": 50, "energy_import": 478.492, "energy_export": 6.216,
        "reactive_energy_import": 172.75, "reactive_energy_export": 2.844, "energy": 484.708,
        "reactive_energy": 175.594}),
    "eastron-sdm630": (4, {
        0x0000: floats(230.1, 230.2, 230.3, 1.1, 1.2, 1.3, -201, 202, 203), 0x001E: floats(-0.91, 0.92, 0.93),
        0x0034: floats(204), 0x0038: floats(250), 0x003C: floats(30), 0x003E: floats(0.94),
        0x0046: floats(50.02, 1001.5, 17.5), 0x0156: floats(1019),
        0x015A: floats(301, 302, 398.5, 5, 6, 6.5, 306, 308, 405)}, {
        "voltage_l1": 230.1, "voltage_l2": 230.2, "voltage_l3": 230.3, "current_l1": 1.1, "current_l2": 1.2,
        "current_l3": 1.3, "power_l1": -201, "power_l2": 202, "power_l3": 203,
        "power_factor_l1": -0.91, "power_factor_l2": 0.92, "power_factor_l3": 0.93,
        "power": 204, "apparent_power": 250, "reactive_power": 30, "power_factor": 0.94, "frequency": 50.02,
        "energy_import": 1001.5, "energy_export": 17.5, "energy": 1019,
        "energy_import_l1": 301, "energy_import_l2": 302, "energy_import_l3": 398.5,
        "energy_export_l1": 5, "energy_export_l2": 6, "energy_export_l3": 6.5,
        "energy_l1": 306, "energy_l2": 308, "energy_l3": 405}),
    "epever-tracer": (4, {
        0x3100: words(12345, 2500) + "93e00004" + words(1270, 2340) + swapped(29718), 0x310C: words(1269, 120),
        0x310E: swapped(1523), 0x3110: words(-550, 3125), 0x311A: words(87), 0x331B: swapped(-250),
        0x3200: words(0, 0x000B), 0x3304: swapped(12), 0x330A: swapped(70000, 345), 0x3312: swapped(123456)}, {
        "pv_voltage": 123.45, "pv_current": 25, "pv_power": 3000, "battery_voltage": 12.7, "battery_current": 23.4,
        "battery_power": 297.18, "load_voltage": 12.69, "load_current": 1.2, "load_power": 15.23,
        "battery_temperature": -5.5, "inside_temperature": 31.25, "battery_soc": 87, "battery_net_current": -2.5,
        "battery_status": 0, "charging_status": 11, "consumed_today": 0.12, "consumed": 700, "generated_today": 3.45,
        "generated": 1234.56}),
    "growatt-tl3x": (4, {
        0: words(1) + longs(60163) + words(5103, 58) + longs(29597) + words(5270, 58) + longs(30566),
        35: longs(-25) + words(4998, 2301, 75) + longs(18231), 42: words(2302, 76) + longs(18374),
        46: words(2303, 77) + longs(18050),
        53: longs(54, 700000), 93: words(-387)}, {
        "state": 1, "pv_power": 6016.3, "pv1_voltage": 510.3, "pv1_current": 5.8, "pv1_power": 2959.7,
        "pv2_voltage": 527, "pv2_current": 5.8, "pv2_power": 3056.6, "power": -2.5, "frequency": 49.98,
        "voltage_l1": 230.1, "current_l1": 7.5, "power_l1": 1823.1, "voltage_l2": 230.2, "current_l2": 7.6,
        "power_l2": 1837.4, "voltage_l3": 230.3, "current_l3": 7.7, "power_l3": 1805,
        "energy_today": 5.4, "energy": 70000, "temperature": -38.7}),
    "pzem-016": (4, {0x0000: "08d1006c000000f400000026000001f400640000"}, {
        "voltage": 225.7, "current": 0.108, "power": 24.4, "energy": 38, "frequency": 50, "power_factor": 1,
        "power_alarm": False}),
    "schneider-iem3155": (3, {
        2999: floats(1.1, 1.2, 1.3), 3009: floats(1.2), 3027: floats(230.1, 230.2, 230.3),
        3053: floats(-0.201, 0.202, 0.203, 0.204), 3067: floats(0.03), 3075: floats(0.25), 3109: floats(50.02),
        3203: quads(12345678901, 6543)}, {
        "current_l1": 1.1, "current_l2": 1.2, "current_l3": 1.3, "current_average": 1.2,
        "voltage_l1": 230.1, "voltage_l2": 230.2, "voltage_l3": 230.3,
        "power_l1": -0.201, "power_l2": 0.202, "power_l3": 0.203, "power": 0.204, "reactive_power": 0.03,
        "apparent_power": 0.25, "frequency": 50.02, "energy_import": 12345678901, "energy_export": 6543}),
    "sunspec-1": (3, COMMON, COMMON_VALUES),
    "sunspec-101": (3, {
        **COMMON, 40069: words(101, 50, 1234, 1235, -1, -1, -2, 2357, -1, -1, 2358, -1, -1, -1, 2901, 0, 49985, -3,
                               29050, -1, 501, 0, 9990, -2) + longs(14676442) + words(0, 812, -2, 3801, -1, 2950, 0,
                                                                                    -32768, 4123, -32768, -32768, -2, 4)}, {
        **COMMON_VALUES, "model_id": 101, "current": 1234, "current_l1": 1235, "current_exponent": -2,
        "voltage_l1_l2": 2357, "voltage_l1": 2358, "voltage_exponent": -1, "power": 2901, "power_exponent": 0,
        "frequency": 49985, "frequency_exponent": -3, "apparent_power": 29050, "apparent_power_exponent": -1,
        "energy": 14676442, "energy_exponent": 0, "dc_current": 812, "dc_current_exponent": -2, "dc_voltage": 3801,
        "dc_voltage_exponent": -1, "dc_power": 2950, "dc_power_exponent": 0, "sink_temperature": 4123,
        "temperature_exponent": -2, "state": 4}),
    "sunspec-103": (3, {
        **COMMON, 40069: words(103, 50, 0, 0, 0, 0, -2, 0, 0, 0, 0, 0, 0, -2, 0, -2, 0, -2, -32768, -32768, -32768,
                               -32768, -32768, -32768) + longs(75438296) + words(0, -1, -32768, -1, -32768, -32768,
                                                                               -32768, -32768, -32768, -32768, -32768,
                                                                               -32768, 2)}, {
        **COMMON_VALUES, "model_id": 103, "current": 0, "current_l1": 0, "current_l2": 0, "current_l3": 0,
        "current_exponent": -2, "voltage_l1_l2": 0, "voltage_l2_l3": 0, "voltage_l3_l1": 0, "voltage_l1": 0,
        "voltage_l2": 0, "voltage_l3": 0, "voltage_exponent": -2, "power": 0, "power_exponent": -2, "frequency": 0,
        "frequency_exponent": -2, "energy": 75438296, "energy_exponent": 0, "state": 2}),
    "sunspec-113": (3, {
        **COMMON, 40069: words(113, 60) + floats(13.1, 4.3, 4.4, 4.5, 400.1, 400.2, 400.3, 230.1, 230.2, 230.3, 3001,
                                                 49.98, 3010, -120, -96.91, 75438296, 8.1, 380.5, 3082) +
        floats(*[float("nan")] * 4) + words(4)}, {
        **COMMON_VALUES, "model_id": 113, "current": 13.1, "current_l1": 4.3, "current_l2": 4.4, "current_l3": 4.5,
        "voltage_l1": 230.1, "voltage_l2": 230.2, "voltage_l3": 230.3, "power": 3001, "frequency": 49.98,
        "apparent_power": 3010, "reactive_power": -120, "power_factor": -96.91, "energy": 75438296, "dc_current": 8.1,
        "dc_voltage": 380.5, "dc_power": 3082, "state": 4}),
    "xy-md02": (4, {0x0001: "ff33" "0222"}, {"temperature": -20.5, "humidity": 54.6}),
}
