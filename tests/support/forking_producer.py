"""A producer that forks when it has published and waited, as web servers do that load the application first."""

import os

from tests.support.plain_app import app

add = app.tasks["orders.add"]
assert add.delay(1).get(timeout=20) == 2
child = os.fork()
if child == 0:
    os._exit(0 if [add.delay(number).get(timeout=20) for number in range(3)] == [1, 2, 3] else 1)
assert [add.delay(number).get(timeout=20) for number in range(3)] == [1, 2, 3]
assert os.waitpid(child, 0)[1] == 0
