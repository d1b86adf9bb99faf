"""The methods that turn a client's history into a vector, one file a method."""
