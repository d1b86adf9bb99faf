"""The log as Parquet files in buckets of clients, which many machines read at once."""
