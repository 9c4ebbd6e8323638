from tests.support.databases import postgres_server

__all__ = ["postgres_server"]
