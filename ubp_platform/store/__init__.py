"""The only code that speaks to Feast: publishing, training sets, lookups."""
