"""`hack/chaos` for half a minute: everything at random, on two nodes of its own."""

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from hack.bed.cache import REPOSITORY

SECONDS = 30.0
PATIENCE = 500.0


@pytest.mark.slow
def test_half_a_minute_of_chaos_loses_nothing_and_leaks_nothing(tmp_path: Path) -> None:
    seed = int(os.environ.get("TEST_SEED") or random.randrange(10**6))
    print(f"TEST_SEED={seed}")
    options = [f"--minutes={SECONDS / 60}", f"--seed={seed}", f"--output={tmp_path}"]
    command = [sys.executable, "-m", "hack.chaosrun", *options]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as run:
        try:
            said, _ = run.communicate(timeout=PATIENCE)
        finally:
            run.terminate()  # takes its bed down
            run.wait()
    print(said)
    assert run.returncode == 0
    assert "0 lost, 0 collided, 0 leaked" in said
