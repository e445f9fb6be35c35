# SPDX-License-Identifier: Apache-2.0
"""What a person reads against what the program does: every key with its default, and the example that is delivered."""
import glob
import os
import re
import shutil
import subprocess

import pytest
from conftest import TOP

# Where the keys are, the manual page that tells them, and the sections of docs/configuration.md.
TABLES = {
    "src/config.c": ("haywain.conf.5", ("gateway", "api and self")),
    "src/queue/queue_conf.c": ("haywain.conf.5", ("queue",)),
    "src/upstream/uplink_conf.c": ("haywain.conf.5", ("uplinks",)),
    "src/field/field_conf.c": ("haywain.conf.5", ("links", "devices")),
    "src/field/point_conf.c": ("haywain.conf.5", ("points",)),
    "plugins/modbus/conf.c": ("haywain-modbus.7", ("Modbus",)),
    "plugins/serial/conf.c": ("haywain-serial.7", ("Serial",)),
    "plugins/ble/conf.c": ("haywain-ble.7", ("Bluetooth LE",)),
}
OTHERS = {"api", "self", "tags", "report", "points", "invalid"}  # read by hand


def read(*path):
    with open(os.path.join(TOP, *path), encoding="utf-8") as f:
        return f.read()


def options(path):
    """(key, default or None) of each option in the tables of a file."""
    text = re.sub(r"/\*.*?\*/", "", read(path), flags=re.DOTALL)
    found = []
    for row in re.finditer(r'\{\.key = "(\w+)",(.*?)\},', text, re.DOTALL):
        default = re.search(r'\.fallback = "([^"]*)"', row[2])
        found.append((row[1], default and default[1]))
    for row in re.finditer(r'\{"(\w+)", HAY_OPT_\w+, \w+\(\w+\)(?:, "([^"]*)")?.*?\},', text, re.DOTALL):
        found.append((row[1], row[2]))
    return found + [(key, None) for key in re.findall(r'\tADDRESS\("(\w+)",', text)]


def named(page):
    """The words that a manual page sets as keys."""
    return {word for line in read("man", page).splitlines() if re.search(r"\bCm\b", line) for word in re.findall(r"\w+", line)}


def manual_defaults(page):
    """key -> default, where the page has `Cm KEY No = VALUE` and the value is no prose."""
    return {key: text or number for line in read("man", page).splitlines()
            for key, text, number in re.findall(r"Cm (\w+) No = (?:Qq (\S+)|([\d.]+|true|false)$)", line)}


def sections():
    """name -> text of each section of docs/configuration.md."""
    parts = re.split(r"^## (.*)$", read("docs", "configuration.md"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2]))


def told(text):
    """key -> default or None, from the tables whose first column is `key…`."""
    found, inside = {}, False
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:]]
        if len(cells) < 2:
            inside = False
        elif cells[0].startswith("key"):
            inside = True
        elif inside:
            keys, values = re.findall(r"`([\w.]+)`", cells[0]), re.findall(r"`([^`]*)`", cells[1])
            plain = re.fullmatch(r"[`, ]*", re.sub(r"`[^`]*`", "", cells[1]))
            for key, value in zip(keys, values if plain and len(values) == len(keys) else [None] * len(keys)):
                found[key.rsplit(".")[-1]] = value and value.strip('"')
    return found


@pytest.mark.parametrize("path", TABLES)
def test_every_key_is_told_with_its_default(path):
    (page, names), keys = TABLES[path], options(path)
    assert len(keys) >= 4, f"no tables found in {path}"
    words, text = named(page), "\n".join(sections()[name] for name in names)
    missing = [f"{key} in {page}" for key, _ in keys if key not in words]
    missing += [f"{key} in configuration.md" for key, _ in keys if not re.search(rf"`(\w+\.)?{key}(\.\w+)?`", text)]
    assert not missing
    wrong = []
    for key, default in keys:
        # An empty or negative one tells the program that nothing was written; one of two tables may be meant.
        if not default or default[0] == "-" or default == "nan" or [k for k, _ in keys].count(key) > 1:
            continue
        for where, says in ((page, manual_defaults(page).get(key)), ("configuration.md", told(text).get(key))):
            if says is not None and says != default:
                wrong.append(f"{key}: {where} says {says}, the program {default}")
    assert not wrong


def test_no_key_is_told_that_nobody_knows():
    known = {key for path in (*TABLES, "plugins/sim/sim.c") for key, _ in options(path)} | OTHERS
    keys = set(told(read("docs", "configuration.md")))
    assert len(keys) > 80
    assert keys - known == set()


@pytest.mark.parametrize("page", sorted(os.path.basename(p) for p in glob.glob(os.path.join(TOP, "man", "*.[0-9]"))))
def test_manual_pages_format_without_warnings(page):
    if not shutil.which("man"):
        pytest.skip("MAN IS NOT INSTALLED: THE MANUAL PAGES ARE NOT FORMATTED")
    done = subprocess.run(["man", "--warnings", "-E", "UTF-8", "-Tutf8", "-l", os.path.join(TOP, "man", page)],
                          env={**os.environ, "LC_ALL": "C.UTF-8", "MANWIDTH": "80"}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, check=True)
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) > 20


def example():
    """The delivered file as lines, and the blocks of lines that are commented out: code follows the # at once, or is indented."""
    lines = read("etc", "haywain.conf").splitlines()
    blocks = []
    for n, line in enumerate(lines):
        if not re.match(r"\s*#(\S|  )", line) or re.match(r"#   \d\. ", line):
            continue
        if blocks and blocks[-1][-1] == n - 1 and re.match(r"\s*#(  |})", line):
            blocks[-1].append(n)
        else:
            blocks.append([n])
    return lines, blocks


def without_comment(lines, blocks):
    taken = {n for block in blocks for n in block}
    return "\n".join(re.sub("#", "", line, count=1) if n in taken else line for n, line in enumerate(lines)) + "\n"


def test_the_delivered_example_is_right_with_each_block_taken_in(plant):
    lines, blocks = example()
    assert len(blocks) >= 7
    daemon = plant.haywain()

    def check(*taken):
        daemon.configure(without_comment(lines, taken))
        status, output = daemon.check()
        assert status == 0 and "is good" in output, output
        return output

    assert "no uplink" in check() or "0 uplinks" in check()
    needs = {n: [b for b in blocks[:n] if "rs485" in lines[b[0]]] for n, block in enumerate(blocks) if 'link = "rs485"' in lines[block[0]]}
    for n, block in enumerate(blocks):
        check(*needs.get(n, []), block)
    assert "1 uplink, 1 link, 1 device" in check(*blocks)


def test_the_delivered_files_fit_a_terminal_of_a_machine_that_knows_only_ascii():
    """11 of 41 lines were wider than 80 columns, and in a C locale nano showed the other characters as ^@."""
    for path in (("etc", "haywain.conf"), ("etc", "conf.d", "README")):
        text = read(*path)
        assert text.isascii() and all(len(line) <= 80 for line in text.splitlines()), path
