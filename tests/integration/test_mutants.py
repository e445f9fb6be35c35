# SPDX-License-Identifier: Apache-2.0
"""tests/mutants/run itself: a mutant that is not noticed, or that proves nothing, is a failure with a line that says so."""
import os
import shutil
import subprocess

import pytest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# A tree of its own, whose one program is a script that speaks as cmocka does and looks at one source file.
MAKEFILE = """all:
build/plain/tests/%: tests/%.c src/answer
	@! grep -q nonsense src/answer
	@mkdir -p $(@D); cp $< $@; chmod +x $@
"""
PROGRAM = """#!/bin/sh
case $(cat src/answer) in
"the answer is 42") echo "[       OK ] test_answer"; echo "[       OK ] test_other"; exit 0 ;;
"the answer is 41") echo "[  FAILED  ] test_answer"; sleep 1000 ;;
"the answer is 7") kill -SEGV $$ ;;
esac
echo "[       OK ] test_answer"; echo "[  FAILED  ] test_other"; exit 1
"""
PATCH = """Test: unit/test_it::{test}
{what}
--- a/src/answer
+++ b/src/answer
@@ -1 +1 @@
-the answer is {before}
+the answer is {after}
"""


def patch(after, test="test_answer", what="The answer is another one.", before="42"):
    return PATCH.format(after=after, test=test, what=what, before=before)


# What is tried, and what is said of it; the first is the only right one.
PATCHES = {
    "noticed": (patch(41), "ok      noticed: unit/test_it::test_answer fails"),
    "unnoticed": (patch(40), "survives: test_answer passes with it; what fails: test_other"),
    "killed": (patch(7), "ends by a signal with it"),
    "stale": (patch(41, before="43"), "does not apply to src/answer"),
    "broken": (patch("nonsense"), "does not compile"),
    "nameless": (patch(41, test="test_nowhere"), "unit/test_it::test_nowhere does not pass without it, or is no test there"),
    "silent": (patch(41, what="--- nothing"), "its second line does not say what it breaks"),
    "headless": (patch(41)[6:], "its first line is not `Test: "),
}


@pytest.fixture(name="tree")
def make_tree(tmp_path):
    for folder in ("src", "tests/unit", "tests/mutants"):
        os.makedirs(tmp_path / folder)
    for file in ("tests/run", "tests/mutants/run"):
        shutil.copy(os.path.join(TOP, file), tmp_path / file)
    (tmp_path / "Makefile").write_text(MAKEFILE)
    (tmp_path / "src" / "answer").write_text("the answer is 42\n")
    (tmp_path / "tests" / "unit" / "test_it.c").write_text(PROGRAM)
    for name, (text, _) in PATCHES.items():
        (tmp_path / "tests" / "mutants" / f"{name}.patch").write_text(text)
    return tmp_path


def run(tree, *names):
    environment = {name: value for name, value in os.environ.items() if name != "MAKEFLAGS"}
    return subprocess.run(["/usr/bin/python3", "tests/mutants/run", *names], cwd=tree, env=environment, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=100, check=False)


def test_only_a_mutant_that_its_test_notices_counts(tree):
    done = run(tree)
    assert done.returncode == 1 and done.stdout.endswith(f"\n1 passed, {len(PATCHES) - 1} failed\n"), done.stdout + done.stderr
    for name, (_, said) in PATCHES.items():
        assert [line for line in done.stdout.splitlines() if name in line and said in line], f"{name}: {done.stdout}"
    assert (tree / "src" / "answer").read_text() == "the answer is 42\n", "the source itself is left alone"


def test_a_name_chooses(tree):
    done = run(tree, "noticed")
    assert "\nFAILED  unnoticed: survives" in done.stdout and done.stdout.endswith("\n1 passed, 1 failed\n"), done.stdout
    done = run(tree, "nobody")
    assert done.returncode == 1 and "no patch has nobody in its name" in done.stderr and not done.stdout
