# SPDX-License-Identifier: Apache-2.0
"""`make demo` is the first thing a newcomer runs: it has to end well, and to fit a terminal of 80 columns."""
import os
import subprocess
import sys

from conftest import BUILD, TOP


def test_demo_ends_with_an_exact_account():
    """The gateway's report on itself arrived, its names were too long for a column, and the demo said 172 readings were lost."""
    # The gateway first reports on itself within 10 s.
    done = subprocess.run([sys.executable, os.path.join(TOP, "demo", "run.py"), "--seconds", "12"],
                          env={**os.environ, "HAYWAIN_BUILD": BUILD, "ASAN_OPTIONS": "detect_leaks=0", "COLUMNS": "80"},
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0 and "Nothing was lost" in done.stdout and not done.stderr, done.stdout + done.stderr
    assert "device gateway: online" in done.stdout, done.stdout
    wide = [line for line in done.stdout.splitlines() if len(line) > 80 and "haywain-demo-" not in line]
    assert not wide, "\n".join(wide)
