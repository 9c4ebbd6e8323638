"""Ports and data directories, for which the processes of one machine compete."""
