# SPDX-License-Identifier: Apache-2.0
"""The register maps that are shipped: each is a good configuration, and what its manual calls "not available" is no number."""
import glob
import os
import re
import struct

import pytest
from conftest import TOP, configuration, link, uplink, wait_until
from model_images import IMAGES

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


def first_sample(plant, name, registers, only=None, rest=0):
    """What the broker gets of a device with these registers (address: number), and `rest` in all others. It knows the
    function `only`, or any."""
    def answer(transaction, unit, pdu):
        function, address, count = struct.unpack(">BHH", pdu[:5])
        if only not in (None, function):
            return slave.frame(transaction, unit, bytes([function | 0x80, 1]))
        values = [registers.get(a, rest) for a in range(address, address + count)]
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


@pytest.mark.parametrize("name", [name for name in MODELS if name != "waveshare-relay-8ch"])
def test_a_shipped_model_reads_what_its_manual_says(plant, name):
    """Every point of every model with registers: its own place, function, type, order and scale."""
    function, image, expected = IMAGES[name]
    registers = {a + i: int(data[4 * i:4 * i + 4], 16) for a, data in image.items() for i in range(len(data) // 4)}
    values, quality = first_sample(plant, name, registers, function, 0x5555)
    assert set(quality.values()) <= {"bad: not available"}
    assert set(values).isdisjoint(quality) and values == pytest.approx(expected, rel=1e-6)


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


def test_a_dtsu666_with_its_energies_elsewhere_is_told(plant):
    """Some have them at 0x401E and 0 at 0x101E: 0 kWh came up as the energy of the meter."""
    values, quality = first_sample(plant, "chint-dtsu666", doubles({0x401E: 1234.5}))
    assert values["energy_import"] == 0 and quality == {"energy_import": "uncertain: out of range"}


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


def test_the_em24_tells_its_total_from_its_partial_counter(plant):
    """0x0042 is the counter that can be reset; it came up as the energy of the meter. The total is at 0x003E."""
    values, _ = first_sample(plant, "carlo-gavazzi-em24", {0x003E: 0x1234, 0x003F: 0x0001, 0x0042: 7})
    assert values["energy_import"] == pytest.approx(0x11234 / 10)


def test_an_overflow_of_the_em24_is_no_good_number(plant):
    """Its manual tells an overflow by 7FFF in the high register and says nothing of the low one."""
    registers = {a: 0x7FFF for a in (0x0001, 0x0003, 0x0005, 0x0037)} | {0x0000: 0xFFFF, 0x0004: 0x1234}
    _, quality = first_sample(plant, "carlo-gavazzi-em24", registers)
    assert quality == {"voltage_l1": "bad: not available", "voltage_l2": "bad: not available",
                       "voltage_l3": "uncertain: out of range", "frequency": "bad: not available"}


@pytest.mark.parametrize("name", ["sunspec-101", "sunspec-103", "sunspec-113"])
def test_an_inverter_with_a_common_model_of_66_registers_is_told(plant, name):
    """All is one register further then: where model_id should be there is the padding, and the values are wrong."""
    _, quality = first_sample(plant, name, {0x9C85: 0x8000, 0x9C86: int(name[-3:])})
    assert quality["model_id"] == "uncertain: out of range"


@pytest.mark.parametrize("name", ["sunspec-101", "sunspec-103"])
def test_an_energy_of_0_is_an_inverter_that_does_not_have_it(plant, name):
    """Counters of SunSpec are 0 where there is nothing: a total that falls to 0 by night and back came up as good."""
    values, quality = first_sample(plant, name, {0x9C85: int(name[-3:])})
    assert "energy" not in values and quality["energy"] == "bad: not available"


@pytest.mark.parametrize("name", ["eastron-sdm120", "eastron-sdm220", "eastron-sdm630"])
def test_a_meter_that_reports_500_hertz_is_told(plant, name):
    values, quality = first_sample(plant, name, doubles({0x0046: 499.8}))
    assert quality == {"frequency": "uncertain: out of range"}


def test_the_tracer_has_the_state_of_charge_and_a_signed_current(plant):
    values, _ = first_sample(plant, "epever-tracer", {0x311A: 87, 0x331B: 0x10000 - 250, 0x331C: 0xFFFF})
    assert values["battery_soc"] == 87 and values["battery_net_current"] == -2.5


def test_a_relay_of_the_waveshare_board_is_told_by_its_own_state(plant):
    """The board has only a read of all eight relays; one that answers so to any read had relay 1 told for relay 5."""
    relays = [i in (1, 5) for i in range(1, 9)]

    def answer(transaction, unit, pdu):
        if pdu[0] == 5:
            relays[pdu[2]] = pdu[3] == 0xFF
            return slave.frame(transaction, unit, pdu)
        return slave.frame(transaction, unit, bytes([1, 1, sum(on << i for i, on in enumerate(relays))]))

    slave = plant.slave(answer)
    broker = plant.broker()
    subscriber = plant.subscriber(broker, ("haywain/plant/#",))
    plant.haywain(configuration([uplink(broker.port, more="commands = true;")], [link(slave.port)], [device("waveshare-relay-8ch")]))

    def samples():
        return [m.json()["values"] for m in subscriber.messages if m.topic == "haywain/plant/data/meter"]

    def switch(relay, on):
        """Sent until it is answered: the first may come before the daemon has subscribed."""
        def answered():
            subscriber.publish(f"haywain/plant/command/meter/relay_{relay}", str(on).lower())
            return [m.json() for m in subscriber.messages if m.topic == f"haywain/plant/reply/meter/relay_{relay}"]
        return wait_until(answered, 30, "a reply", step=0.3)[0]

    wait_until(samples, 30, "a sample")
    assert samples()[0] == {f"relay_{i}": i in (1, 5) for i in range(1, 9)}
    assert switch(5, False) == {"ok": True, "done": "yes", "value": False, "read_back": True}
    wait_until(lambda: samples()[-1] == {f"relay_{i}": i == 1 for i in range(1, 9)}, 30, "the new states")


def test_an_inverter_that_draws_from_the_grid_is_not_a_power_station(plant):
    """Growatt MID: output power a little below zero came up as 429496729.5 W."""
    values, _ = first_sample(plant, "growatt-tl3x", {35: 0xFFFF, 36: 0x10000 - 25})
    assert values["power"] == -2.5
