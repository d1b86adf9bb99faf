"""A simulated shop: its catalogue, its clients and their events."""
