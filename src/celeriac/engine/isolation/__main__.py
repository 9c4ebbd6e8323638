"""`python -m celeriac.engine.isolation PID`, as the worker with that process id starts it."""

import sys

from celeriac.engine.isolation.child import main

if __name__ == "__main__":
    main(int(sys.argv[1]))
