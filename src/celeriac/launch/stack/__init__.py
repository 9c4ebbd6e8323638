"""The stack of `celeriac up`."""
