"""What processes of one machine compete for: ports and data directories."""
