"""Starting, watching and stopping the processes of a stack and of a worker."""
