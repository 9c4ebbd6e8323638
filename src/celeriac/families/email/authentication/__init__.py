"""Looks at what a domain's DNS says of its mail: SPF, DKIM, DMARC, MX and reverse DNS."""
