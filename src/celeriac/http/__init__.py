"""The HTTP API. Jobs are resources, and errors are problems by RFC 9457."""
