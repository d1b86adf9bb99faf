"""A simulated shop: its catalogue, its clients, and what these do."""
