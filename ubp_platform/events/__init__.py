"""Event tables: their columns, the text codec, and the packaged data set Complete Journey."""
