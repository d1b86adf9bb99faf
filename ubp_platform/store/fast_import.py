"""Importing Feast in a third of the time, for programs of our own."""

import sys
from importlib import import_module
from types import ModuleType
from unittest.mock import patch


def fast_feast_import() -> None:
    """Import Feast without torch, and without the type checks that typeguard compiles into it.

    Both together take two thirds of the import. Feast stays unchecked for the rest of the process,
    so this is for the start of a command, before anything else imports Feast. The library does
    not call it: a host program may rely on the checks.
    """
    import typeguard

    torch = ModuleType("feast.torch_wrapper")
    torch.get_torch = lambda: import_module("torch")  # type: ignore[attr-defined]
    sys.modules.setdefault(torch.__name__, torch)
    with patch.object(typeguard, "typechecked", lambda target: target):
        import feast  # noqa: F401
