"""Job families that come with Celeriac. Each is one folder with its jobs, settings, routes, commands and tables."""
