"""Typed jobs: enqueue them, watch them, cancel them."""
