"""Runs `python -m celeriac.engine.isolation PID`, which the worker with that process id starts."""

import sys

from celeriac.engine.isolation.child import main

if __name__ == "__main__":
    main(int(sys.argv[1]))
