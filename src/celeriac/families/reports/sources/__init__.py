"""Where the rows of a report come from: databases, uploaded files, the request itself, functions of the user's."""
