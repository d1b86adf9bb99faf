"""What a cluster costs and gains, and that it changes nothing."""
