"""The programs of a stack: their command lines, environment and options."""
