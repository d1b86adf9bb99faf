"""Where the work on many clients is done: in this process, or on a Ray cluster."""
