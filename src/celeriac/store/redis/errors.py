"""redis-py's errors, for users of the store. Only the store imports redis-py."""

from __future__ import annotations

from redis.exceptions import RedisError, ResponseError

__all__ = ["SERVER_ERRORS", "RedisError", "ResponseError"]

#: Errors of a call over a blocking client: the server is absent, or has answered with an error.
SERVER_ERRORS = (RedisError, OSError)
