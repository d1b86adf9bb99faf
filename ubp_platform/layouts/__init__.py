"""Layouts: how a shop's files become the tables of a delivery, in TOML and SQL.

A layout is a directory. ``layout.toml`` defines which files form which relation and how they are
read; ``TABLE.sql`` contains one ``SELECT`` over the relations that returns the table's columns.
"""

#: The default for the largest share of bad rows with which a table may land.
MAX_QUARANTINE = 0.05
#: The list of relevant clients, which the challenge delivers next to its tables.
RELEVANT_CLIENTS = "relevant_clients.npy"
