from tests.support.databases import mariadb_server, other, other_url, postgres_server

__all__ = ["mariadb_server", "other", "other_url", "postgres_server"]
