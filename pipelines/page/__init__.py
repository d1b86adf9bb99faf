"""The pages of ``ubp serve``: clients, the map of all, versions."""
