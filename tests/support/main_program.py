"""A program that is its own application and worker: nothing else can import what it defines."""

import sys

from celeriac import Celeriac

app = Celeriac("program")


@app.job(name="program.double", isolate=True)
def double(number: int) -> int:
    return 2 * number


if __name__ == "__main__":
    app.worker_main(["worker", "--pool=solo", "--without-mingle", "--without-gossip", *sys.argv[1:]])
