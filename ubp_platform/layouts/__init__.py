"""Layouts: how a shop's files become the tables of a delivery, said in TOML and SQL.

A layout is a directory. ``layout.toml`` says which files make up which relation and how they are
read; ``TABLE.sql`` holds one ``SELECT`` over the relations that gives the table's columns.
"""

#: The share of bad rows that a table may have.
MAX_QUARANTINE = 0.05
#: Clients whose profiles are wanted; lies beside the tables in the challenge and is none of them.
RELEVANT_CLIENTS = "relevant_clients.npy"
