"""Cleanup: deletes, archives and anonymises old rows of databases, a chunk at a time."""
