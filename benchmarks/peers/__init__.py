"""The compared systems, each written as its own documentation recommends: jobs, worker, client.

These modules run in the environment of their system, without Celeriac. So they import only the standard library, that
system, and each other.
"""
