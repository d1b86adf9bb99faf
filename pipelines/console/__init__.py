"""What the command line takes, and how it shows what was found."""
