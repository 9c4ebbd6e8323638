from tests.support.databases import database, database_url, mariadb_server, other, other_url, postgres_server

__all__ = ["database", "database_url", "mariadb_server", "other", "other_url", "postgres_server"]
