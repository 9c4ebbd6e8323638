"""What redis-py raises, for whoever uses the store: nothing outside of it imports redis-py."""

from __future__ import annotations

from redis.exceptions import RedisError, ResponseError

__all__ = ["SERVER_ERRORS", "RedisError", "ResponseError"]

#: What a call over a blocking client raises: the server is away, or has answered with an error.
SERVER_ERRORS = (RedisError, OSError)
