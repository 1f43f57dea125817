"""The heartbeat tells how a run stands; the watchdog ends one that hangs, with its stacks."""

import json
import re
import subprocess
import sys
import time

from genjax.training.pulse import Pulse

HANG = """
import sys, time
from pathlib import Path
from genjax.training.pulse import Pulse

def stuck_in_a_collective():
    time.sleep(60)

with Pulse(Path(sys.argv[1]), minutes=2 / 60, every=0.1) as pulse:
    for step in range(8):  # longer than the limit in all, and never silent for so long
        pulse.beat(step)
        time.sleep(0.3)
    print("alive", flush=True)
    stuck_in_a_collective()
"""


def test_a_run_that_hangs_ends_with_the_stacks_of_its_threads(tmp_path):
    begun = time.monotonic()
    ended = subprocess.run(
        [sys.executable, "-c", HANG, tmp_path], capture_output=True, text=True, timeout=50
    )
    assert ended.returncode == 1 and ended.stdout == "alive\n" and time.monotonic() - begun < 40
    assert re.search(r"watchdog: no step for \d+\.\d minutes after step 7", ended.stderr)
    assert "stuck_in_a_collective" in ended.stderr and "_watch" in ended.stderr
    told = json.loads((tmp_path / "heartbeat.json").read_text())
    assert (
        told["step"] == 7 and 2 <= told["silent"] < 40 and abs(told["time"] - time.time()) < 60
    )


def test_the_heartbeat_is_written_while_the_loop_works_and_the_thread_ends(tmp_path):
    with Pulse(tmp_path, minutes=0, every=0.02) as pulse:
        pulse.beat(3)
        deadline = time.monotonic() + 10
        file = tmp_path / "heartbeat.json"
        while not file.exists() or json.loads(file.read_text())["step"] != 3:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        pulse.beat()  # an evaluation batch: alive, and still after step 3
    assert not pulse._thread.is_alive()
    assert json.loads((tmp_path / "heartbeat.json").read_text())["step"] == 3


def test_a_heartbeat_that_cannot_be_written_harms_nobody(tmp_path):
    with Pulse(tmp_path / "gone", minutes=1, every=0.01) as pulse:
        time.sleep(0.1)
        assert pulse._thread.is_alive()
