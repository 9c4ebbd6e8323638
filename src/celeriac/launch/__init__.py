"""Starts, watches and stops the processes of a stack and of a worker."""
