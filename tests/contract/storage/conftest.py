from tests.support.buckets import bucket_url, location, s3_server, storage_url

__all__ = ["bucket_url", "location", "s3_server", "storage_url"]
