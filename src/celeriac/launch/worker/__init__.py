"""The parent of a worker's shards: it starts them, and renews their leases."""
