from tests.support.buckets import location, s3_server, storage_url

__all__ = ["location", "s3_server", "storage_url"]
