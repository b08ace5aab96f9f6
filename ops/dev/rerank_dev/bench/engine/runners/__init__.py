"""One contender a file, each run as a process of its own; those of peers import nothing of ours but the protocol."""
