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


random.seed(1)
print("/* SPDX-License-Identifier: Apache-2.0 */")
print("/* Made by make_vectors.py. */")
print("/* clang-format off */")
for name, code in FORMS.items():
    for order in orders(struct.calcsize(code)):
        for value in values(code):
            big = struct.pack(">" + code, value)
            wire = "".join(f"\\x{big['ABCDEFGH'.index(letter)]:02x}" for letter in order)
            print(f'{{HAY_{name}, "{order}", "{wire}", {{.type = HAY_{name}, {literal(code, value)}}}}},')
