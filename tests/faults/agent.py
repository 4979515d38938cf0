"""`challenge-controller` with the seam in its doors: python -m tests.faults.agent agent."""

import os
from pathlib import Path

from controller.__main__ import main
from tests.faults.doors import install
from tests.faults.seam import FOLDER, Seam

if __name__ == "__main__":
    with install(Seam(Path(os.environ[FOLDER]))):
        main()
