"""SQL storage: one engine per process, one schema, its migrations. Nothing here knows what the tables mean."""
