"""The HTTP API: jobs as resources, problems as RFC 9457 describes them."""
