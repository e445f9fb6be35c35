# SPDX-License-Identifier: Apache-2.0
"""tests/run itself: a failure must be seen, by name, at the end, and a mistaken argument before anything is built."""
import os
import shutil
import subprocess

import pytest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# A tree of its own, whose programs are scripts that speak as cmocka does.
MAKEFILE = """tests: $(patsubst %.c,build/plain/%,$(wildcard tests/unit/*.c))
build/plain/%: %.c
	@mkdir -p $(@D); cp $< $@; chmod +x $@
"""
PASSED = "echo '[  PASSED  ] 1 test(s).'"
FAILED = "printf '[  FAILED  ] 1 test(s), listed below:\\n[  FAILED  ] %s\\n' {0}; exit 1"
PROGRAMS = {
    "test_right": PASSED,
    "test_late": f"[ -e once ] || {{ touch once; {FAILED.format('test_deadline')}; }}; {PASSED}",
    "test_wrong": FAILED.format("test_sum"),
    "test_race": f"{PASSED}; echo 'WARNING: ThreadSanitizer: data race'; exit 66",
    "test_crash": "sleep 1000 & echo $! >left; kill -SEGV $$",
}


@pytest.fixture(name="tree")
def make_tree(tmp_path):
    os.makedirs(tmp_path / "tests" / "unit")
    shutil.copy(os.path.join(TOP, "tests", "run"), tmp_path / "tests" / "run")
    (tmp_path / "Makefile").write_text(MAKEFILE)
    for name, script in PROGRAMS.items():
        (tmp_path / "tests" / "unit" / f"{name}.c").write_text(f"#!/bin/sh\n{script}\n")
    return tmp_path


def run(tree, *arguments):
    environment = {name: value for name, value in os.environ.items() if name not in ("HAYWAIN_RUNNER", "MAKEFLAGS")}
    return subprocess.run(["/usr/bin/python3", "tests/run", *arguments], cwd=tree, env=environment, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("arguments, said", [
    (["plain", "-k", "right"], "unknown option -k"),
    (["plain", "test_nothing_is_called_this"], "is no step"),
    (["fuzz", "test_right"], "is no step"),
])
def test_a_mistaken_argument_costs_no_time(tree, arguments, said):
    """`tests/run plain -k right` once ran everything first, and then said that -k is no step."""
    done = run(tree, *arguments)
    assert done.returncode == 1 and done.stdout == "" and not (tree / "build").exists()
    assert said in done.stderr and done.stderr.count("\n") == 1


def test_a_name_chooses(tree):
    done = run(tree, "plain", "right")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "unit/test_right: 1" in done.stdout and done.stdout.endswith("\n1 passed, 0 failed\n")
    assert os.listdir(tree / "build" / "plain" / "tests" / "unit") == ["test_right"]


def test_what_failed_is_listed_last(tree):
    """A deadline that passed on a busy machine is tried alone; a sanitizer's report or a signal counts at once."""
    done = run(tree, "plain")
    assert done.returncode == 1, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    alone = [line.split(": once")[0] for line in lines if "once more, alone" in line]
    assert alone == ["--      plain unit/test_late", "--      plain unit/test_wrong"]
    assert lines[lines.index("Passed only alone:"):] == [
        "Passed only alone:", "    plain unit/test_late: test_deadline",
        "What failed:", "    plain unit/test_crash: signal 11", "    plain unit/test_race: exit status 66",
        "    plain unit/test_wrong: test_sum", "3 passed, 3 failed"]
    left = int((tree / "left").read_text())
    try:
        with open(f"/proc/{left}/stat", encoding="utf-8") as stat:
            assert stat.read().rsplit(") ", 1)[1][0] == "Z"  # dead, and only not yet buried
    except FileNotFoundError:
        pass
