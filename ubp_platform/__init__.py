"""Universal Behavioral Profiles: one vector per client, learned from logs, served by Feast."""
