"""Isolated jobs: each runs in a process of its own, which can be killed."""
