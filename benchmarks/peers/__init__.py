"""The systems that are compared, each as its own documentation would have it written: jobs, worker, client.

These modules run in the environment of their system, where there is no Celeriac: they import the standard library, that
system, and each other.
"""
