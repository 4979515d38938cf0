"""`challenge-controller` whose log has a line as often as it is said: for tests that count them.

To be started in the controller's place (`module="tests.faults.verbose"`).
"""

from controller import log
from controller.__main__ import main

if __name__ == "__main__":
    log.WHILE = 0.0  # type: ignore[misc] # final for everybody else
    main()
