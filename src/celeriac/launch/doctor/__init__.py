"""The checks of `celeriac doctor`."""
