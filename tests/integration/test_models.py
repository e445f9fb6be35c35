# SPDX-License-Identifier: Apache-2.0
"""The register maps that are shipped: each is a good configuration, and what its manual calls "not available" is no number."""
import glob
import os
import re
import struct

import pytest
from conftest import TOP, configuration, link, uplink, wait_until

MODELS = sorted(os.path.basename(path)[:-5] for path in glob.glob(os.path.join(TOP, "models", "*.conf")))


def of_model(name):
    """A device's group that says what the model says, so that the models installed on this machine do not matter."""
    with open(os.path.join(TOP, "models", name + ".conf"), encoding="utf-8") as f:
        text = f.read()
    inner = re.search(r"model: \{(.*)\};", text, re.S).group(1)
    inner = re.sub(r'^\s*(plugin|manual) = .*$', "", inner, flags=re.M)
    return re.sub(r'every = "1[mh]";', "", inner)


def device(name):
    return f'  {{ name = "meter"; link = "bus"; unit = 1; every = "200ms"; {of_model(name)} }}'


def first_sample(plant, name, registers):
    """What the broker gets of a device with these registers (address: number); the rest is 0."""
    def answer(transaction, unit, pdu):
        function, address, count = struct.unpack(">BHH", pdu[:5])
        values = [registers.get(a, 0) for a in range(address, address + count)]
        return slave.frame(transaction, unit, struct.pack(f">BB{count}H", function, 2 * count, *values))

    slave = plant.slave(answer)
    broker = plant.broker()
    subscriber = plant.subscriber(broker, ("haywain/plant/data/meter",))
    plant.haywain(configuration([uplink(broker.port)], [link(slave.port)], [device(name)]))
    sample = wait_until(lambda: subscriber.messages and subscriber.messages[0].json(), 30, "a sample")
    return sample.get("values", {}), sample.get("quality", {})


def doubles(values):
    """32-bit floats as registers, the high one first."""
    return {a + i: half for a, v in values.items() for i, half in enumerate(struct.unpack(">HH", struct.pack(">f", v)))}


@pytest.mark.parametrize("name", MODELS)
def test_a_shipped_model_is_a_good_configuration(plant, name):
    daemon = plant.haywain(configuration([uplink(1)], [link(1)], [device(name)]), start=False)
    status, said = daemon.check()
    assert status == 0, said


def test_a_meter_on_one_phase_reports_the_others_as_not_available(plant):
    """ABB B23: all ones, or the largest number with a sign, went up as 429496729.5 V and 32.767, quality good."""
    registers = {0x5B00: 0, 0x5B01: 2301, 0x5B3B: 998}
    registers.update({a: 0xFFFF for a in (0x5B02, 0x5B03, 0x5B0E, 0x5B0F)})
    registers.update({0x5B18: 0x7FFF, 0x5B19: 0xFFFF, 0x5B3C: 0x7FFF})
    registers.update({a: 0xFFFF for a in range(0x5464, 0x5468)})
    values, quality = first_sample(plant, "abb-b23", registers)
    assert values["voltage_l1"] == 230.1 and values["power_factor_l1"] == 0.998
    for point in ("voltage_l2", "current_l2", "power_l2", "power_factor_l2", "energy_import_l2"):
        assert point not in values and quality[point] == "bad: not available"


def test_the_dtsu666_tells_phases_from_pairs_of_phases(plant):
    """Its registers 0x2000 to 0x2004 are the voltages between phases: 400 V came up as voltage_l1."""
    values, _ = first_sample(plant, "chint-dtsu666", doubles(
        {0x2000: 4000, 0x2002: 4010, 0x2004: 4020, 0x2006: 2300, 0x2008: 2310, 0x200A: 2320}))
    assert [values[f"voltage_l{i}"] for i in (1, 2, 3)] == [230, 231, 232]
    assert [values[f"voltage_{pair}"] for pair in ("l1_l2", "l2_l3", "l3_l1")] == [400, 401, 402]


@pytest.mark.parametrize("name", ["sunspec-101", "sunspec-103"])
def test_an_inverter_that_sleeps_reports_no_numbers(plant, name):
    """SunSpec marks what is not implemented, or not now: 65535 and -32768 came up as good numbers."""
    registers = {a: 0xFFFF for a in range(0x9C86, 0x9CB0)}
    registers.update({a: 0x8000 for a in (0x9C8B, 0x9C92, 0x9C93, 0x9C94, 0x9C96, 0x9C97, 0x9C98, 0x9C9F, 0x9CA1, 0x9CA3,
                                          0x9CA4, 0x9CA5, 0x9CA7, 0x9CAA)})
    registers.update({0x9C85: int(name[-3:]), 0x9C8C: 2357, 0x9C9D: 0x00DF, 0x9C9E: 0xF1DA})
    values, quality = first_sample(plant, name, registers)
    numbers = {k: v for k, v in values.items() if not isinstance(v, str)}
    assert numbers == {"model_id": int(name[-3:]), "voltage_l1_l2": 2357, "energy": 0x00DFF1DA}
    assert set(quality.values()) == {"bad: not available"}


def test_the_em24_has_the_energy_it_is_bought_for(plant):
    values, _ = first_sample(plant, "carlo-gavazzi-em24", {0x0042: 0x1234, 0x0043: 0x0001})
    assert values["energy_import"] == pytest.approx(0x11234 / 10)


def test_the_tracer_has_the_state_of_charge_and_a_signed_current(plant):
    values, _ = first_sample(plant, "epever-tracer", {0x311A: 87, 0x331B: 0x10000 - 250, 0x331C: 0xFFFF})
    assert values["battery_soc"] == 87 and values["battery_net_current"] == -2.5


def test_an_inverter_that_draws_from_the_grid_is_not_a_power_station(plant):
    """Growatt MID: output power a little below zero came up as 429496729.5 W."""
    values, _ = first_sample(plant, "growatt-tl3x", {35: 0xFFFF, 36: 0x10000 - 25})
    assert values["power"] == -2.5
