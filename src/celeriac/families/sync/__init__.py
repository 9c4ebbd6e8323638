"""Sync: records of third-party APIs as rows of a database, or as files. State moves only with the rows."""
