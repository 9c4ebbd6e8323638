"""Job families: guests of the application, each one folder with all that is its own (`celeriac.family`)."""
