"""Starting, watching and stopping the processes of a stack, and the embedded broker among them."""
