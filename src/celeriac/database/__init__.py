"""SQL storage: connections, transactions and migrations. Nothing here knows the meaning of the tables."""
