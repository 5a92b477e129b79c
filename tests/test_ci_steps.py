""".ci/steps.sh: what runs beside other steps is waited for, shown, and fails the whole as any step does."""

import subprocess
import time
from pathlib import Path

STEPS = Path(__file__).resolve().parents[1] / ".ci" / "steps.sh"


def run(script):
    return subprocess.run(
        ["sh", "-euc", f". {STEPS}\n{script}"], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL
    )


def test_steps_run_in_their_order_and_one_beside_them():
    done = run("beside sh -c 'sleep 0.3; echo late'\nstep echo early\njoined\nstep echo last")
    assert done.returncode == 0, done.stderr
    said = [line for line in done.stdout.splitlines() if line and not line.startswith("==")]
    assert said == ["early", "late", "last"]


def test_a_failure_beside_ends_the_whole_with_what_it_said():
    done = run("beside sh -c 'echo why >&2; exit 3'\nstep echo early\njoined\nstep echo never")
    assert done.returncode == 3
    assert "why" in done.stdout
    assert "never" not in done.stdout


def test_a_failed_step_leaves_nothing_running(tmp_path):
    done = run(f"beside sh -c 'sleep 1; touch {tmp_path}/made'\nstep false\njoined")
    assert done.returncode == 1
    time.sleep(1.5)
    assert not (tmp_path / "made").exists()
