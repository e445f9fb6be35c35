#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Vectors for test_types.c, made by Python's struct: an encoder that shares nothing with ours.

    ./make_vectors.py > vectors.h
"""
import itertools
import random
import struct

FORMS = {"INT16": "h", "UINT16": "H", "INT32": "i", "UINT32": "I", "INT64": "q", "UINT64": "Q",
         "FLOAT32": "f", "FLOAT64": "d"}
ORDERS8 = ["ABCDEFGH", "GHEFCDAB", "BADCFEHG", "HGFEDCBA", "EFGHABCD", "CDABGHEF", "DCBAHGFE", "FEHGBADC"]


def orders(size):
    letters = "ABCDEFGH"[:size]
    if size == 8:
        return ORDERS8 + ["".join(random.sample(letters, 8)) for _ in range(8)]
    return ["".join(order) for order in itertools.permutations(letters)]


def values(code):
    size = struct.calcsize(code)
    if code in "fd":
        yield from (0.0, -0.0, 1.0, -1.5, 123456.789, 1e-30, -2.5e30)
        for _ in range(5):
            yield random.uniform(-1e6, 1e6)
    else:
        low, high = (-(1 << (8 * size - 1)), (1 << (8 * size - 1)) - 1) if code.islower() else (0, (1 << 8 * size) - 1)
        yield from (low, high, 0, 1, high - 1)
        for _ in range(5):
            yield random.randint(low, high)


def literal(code, value):
    if code in "fd":
        exact = struct.unpack(">" + code, struct.pack(">" + code, value))[0]
        return "." + code + " = " + exact.hex() + ("f" if code == "f" else "")
    if code.isupper():
        return f".u = {value}u" if value < 1 << 31 else f".u = UINT64_C({value})"
    return ".i = INT64_MIN" if value == -(1 << 63) else f".i = INT64_C({value})"


def line(kind, name, order, wire, value, bits="NULL", length=0, string_order="NULL", again=True):
    text = "".join(f"\\x{b:02x}" for b in wire)
    print(f'{{HAY_{kind}, {name}, {order}, {bits}, {string_order}, {length}, "{text}", {len(wire)}, {value}, {int(again)}}},')


def arrange(big, order):
    return bytes(big["ABCDEFGH".index(letter)] for letter in order)


def quoted(text):
    return f'"{text}"'


def numbers():
    for name, code in FORMS.items():
        for order in orders(struct.calcsize(code)):
            for value in values(code):
                wire = arrange(struct.pack(">" + code, value), order)
                line(name, quoted(name.lower()), quoted(order), wire, f"{{.type = HAY_{name}, {literal(code, value)}}}")


def halves():
    some = [0.0, -0.0, 1.0, -2.0, 65504.0, -65504.0, 2.0 ** -14, 2.0 ** -24, 1023 * 2.0 ** -24, 0.333251953125]
    for order in ("AB", "BA"):
        for value in some + [struct.unpack(">e", struct.pack(">e", random.uniform(-3000, 3000)))[0] for _ in range(20)]:
            wire = arrange(struct.pack(">e", value), order)
            line("TYPE_NONE", quoted("float16"), quoted(order), wire, f"{{.type = HAY_FLOAT32, .f = {value.hex()}f}}")


def decimals():
    for name, size, kind in (("bcd16", 2, "UINT16"), ("bcd32", 4, "UINT32")):
        for order in orders(size):
            for value in [0, 10 ** (2 * size) - 1, 9, 10] + [random.randrange(10 ** (2 * size)) for _ in range(4)]:
                wire = arrange(bytes.fromhex(f"{value:0{2 * size}d}"), order)
                line("TYPE_NONE", quoted(name), quoted(order), wire, f"{{.type = HAY_{kind}, .u = {value}u}}")


def bit_ranges():
    for _ in range(60):
        size = random.choice((2, 2, 4, 8))
        order = random.choice(orders(size))
        raw = random.getrandbits(8 * size)
        low = random.randrange(8 * size)
        high = random.randrange(low, 8 * size)
        value = (raw >> low) & ((1 << (high - low + 1)) - 1)
        kind = {2: "UINT16", 4: "UINT32", 8: "UINT64"}[size]
        line(kind, quoted(kind.lower()), quoted(order), arrange(raw.to_bytes(size, "big"), order),
             f"{{.type = HAY_{kind}, .u = UINT64_C({value})}}", quoted(f"{low}-{high}"))
    for bit in range(16):
        raw = random.getrandbits(16)
        line("TYPE_NONE", "NULL", "NULL", raw.to_bytes(2, "big"),
             f"{{.type = HAY_BOOL, .b = {raw >> bit & 1}}}", quoted(bit))


def strings():
    def swap(data):
        return b"".join(data[i + 1:i + 2] + data[i:i + 1] for i in range(0, len(data), 2))

    # What was written, and what it is without its padding.
    for raw, text in ((b"SDM120\0\0", "SDM120"), (b"abc ", "abc"), (b"a\0bc", "a"), (b"\0\0", ""), (b"    ", ""),
                      ("20 °C".encode(), "20 °C"), ("20 °C ".encode("latin-1"), "20 °C"), (b"\xff\xfe", "ÿþ"),
                      ("€uro!".encode() + b"\0", "€uro!"), (b"\xed\xa0\x80 ", "í\xa0\x80"), (b"x\xc3", "xÃ")):
        raw += b"\0" * (len(raw) % 2)
        data = text.encode()
        value = '"' + "".join(f"\\x{b:02x}" for b in data) + '"'
        again = data + b"\0" * (len(raw) - len(data)) == raw
        for order, wire in (("AB", raw), ("BA", swap(raw))):
            line("STRING", quoted("string"), "NULL", wire,
                 f"{{.type = HAY_STRING, .s = {{{value}, {len(data)}}}}}", length=len(raw) // 2,
                 string_order=quoted(order), again=again)


random.seed(1)
print("/* SPDX-License-Identifier: Apache-2.0 */")
print("/* Made by make_vectors.py. */")
print("/* clang-format off */")
numbers()
halves()
decimals()
bit_ranges()
strings()
