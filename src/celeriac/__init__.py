"""Background jobs for FastAPI: Celery and Redis, typed and asyncio-first."""

__version__ = "0.1.0"
