"""How two sets of profiles differ: another cutoff, another version, other data."""
