# SPDX-License-Identifier: Apache-2.0
"""tests/run itself: a failure must be seen, by name, at the end, and a mistaken argument before anything is built."""
import os
import subprocess

import pytest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# Stands before each program: the first fails once, the second always, the third is accused by a sanitizer, the fourth
# leaves a process behind and is ended by a signal.
RUNNER = """#!/bin/sh
failed() {
	printf '[  FAILED  ] 1 test(s), listed below:\\n[  FAILED  ] %s\\n' "$1"
	exit 1
}
case ${1##*/} in
test_pace) [ -e "$DIR/once" ] || { touch "$DIR/once"; failed test_late; } ;;
test_runs) failed test_wrong ;;
test_units) echo "WARNING: ThreadSanitizer: data race"; exit 66 ;;
test_series) sleep 1000 & echo $! >"$DIR/left"; kill -SEGV $$ ;;
esac
exec "$@"
"""


def run(*arguments, **environment):
    return subprocess.run(["/usr/bin/python3", "tests/run", *arguments], cwd=TOP, env={**os.environ, **environment},
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.parametrize("arguments, said", [
    (["plain", "-k", "pace"], "unknown option -k"),
    (["plain", "test_nothing_is_called_this"], "is no step"),
    (["fuzz", "test_pace"], "is no step"),
])
def test_a_mistaken_argument_costs_no_time(arguments, said):
    """`tests/run plain -k w1` once ran everything first, and then said that -k is no step."""
    done = run(*arguments)
    assert done.returncode == 1 and done.stdout == ""
    assert said in done.stderr and done.stderr.count("\n") == 1


def test_what_failed_is_listed_last(tmp_path):
    """A deadline that passed on a busy machine is tried alone; a sanitizer's report or a signal counts at once."""
    runner = tmp_path / "runner"
    runner.write_text(RUNNER)
    runner.chmod(0o755)
    done = run("plain", "unit/test_pace", "unit/test_runs", "unit/test_units", "unit/test_series", "unit/test_schedule",
               HAYWAIN_RUNNER=str(runner), DIR=str(tmp_path))
    assert done.returncode == 1, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    alone = [line.split(": once")[0] for line in lines if "once more, alone" in line]
    assert alone == ["--      plain unit/test_pace", "--      plain unit/test_runs"]
    end = lines[lines.index("Passed only alone:"):]
    assert end[:-1] == ["Passed only alone:", "    plain unit/test_pace: test_late",
                        "What failed:", "    plain unit/test_series: signal 11", "    plain unit/test_units: exit status 66",
                        "    plain unit/test_runs: test_wrong"]
    assert end[-1].endswith(" passed, 3 failed")
    left = int((tmp_path / "left").read_text())
    try:
        with open(f"/proc/{left}/stat", encoding="utf-8") as stat:
            assert stat.read().rsplit(") ", 1)[1][0] == "Z"  # dead, and only not yet buried
    except FileNotFoundError:
        pass
