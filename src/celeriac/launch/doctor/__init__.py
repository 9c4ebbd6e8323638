"""What `celeriac doctor` examines."""
