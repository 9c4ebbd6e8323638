"""Keeps child processes running: starts them, sees them become ready, restarts and stops them."""
