"""A producer that forks when it has published, as web servers do that load the application first."""

import os

from tests.support.plain_app import app

add = app.tasks["orders.add"]
before = add.delay(1)
child = os.fork()
if child == 0:
    os._exit(0 if [add.delay(number).get(timeout=60) for number in range(3)] == [1, 2, 3] else 1)
assert [add.delay(number).get(timeout=60) for number in range(3)] == [1, 2, 3]
assert before.get(timeout=60) == 2
assert os.waitpid(child, 0)[1] == 0
