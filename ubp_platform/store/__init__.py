"""The only code that uses Feast: publishing, training sets, lookups."""
