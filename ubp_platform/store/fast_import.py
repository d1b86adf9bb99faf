"""Importing Feast in half the time, for programs of our own."""

from unittest.mock import patch


def fast_feast_import() -> None:
    """Import Feast without the type checks that typeguard compiles into its classes.

    Compiling them takes half of the import. Feast stays unchecked for the rest of the process,
    so this is for the start of a command, before anything else imports Feast. The library does
    not call it: a host program may rely on the checks.
    """
    import typeguard

    with patch.object(typeguard, "typechecked", lambda target: target):
        import feast  # noqa: F401
