"""What an event is, and how deliveries of events are read."""
