"""The parent of a worker's shards, which starts them and renews their leases."""
