"""Similar clients: an index of profiles beside each version, and what is told of each client."""
