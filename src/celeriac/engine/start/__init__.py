"""How a worker process starts: its command line, the application it loads, the checks it makes."""
