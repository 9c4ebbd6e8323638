"""The lease of tests' workers, in a module that costs the programs under test no import of pytest."""

#: Seconds; the shortest lease there is, so that tests of recovery are short.
LEASE = 2.0
