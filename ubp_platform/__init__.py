"""Universal Behavioral Profiles: one vector a client, learned from logs, served by Feast."""
