"""Arguments and options that several commands of ``ubp`` take."""

from pathlib import Path
from typing import Annotated

import typer

from ubp_platform.choices import EngineName, Preset, ProfileKind
from ubp_platform.errors import UBPError


def _directory(text: str) -> Path:
    # An unset variable of a shell must not become the current directory.
    if not text:
        raise typer.BadParameter("a directory is expected, not an empty string")
    return Path(text)


HomeOption = Annotated[
    Path | None,
    typer.Option(
        "--home",
        help="Directory that holds all state; by default UBP_HOME, or ./ubp_home.",
        parser=_directory,
        metavar="<path>",
    ),
]
VersionOption = Annotated[
    str | None,
    typer.Option("--profile-version", help="A profile version, such as v1; the newest by default."),
]
ServedOption = Annotated[
    str | None,
    typer.Option(
        "--profile-version", help="A profile version, such as v1; the served one by default."
    ),
]
BlocksOption = Annotated[
    list[str] | None,
    typer.Option("--blocks", help="Comma-separated blocks or patterns, such as 'gru_*'."),
]
ClassesOption = Annotated[
    Path | None, typer.Option(help="Directory with class lists and popularities (.npy).")
]
ProfileOption = Annotated[
    ProfileKind,
    typer.Option(
        "--profile",
        help="Set of blocks: 'default', or 'paper' for the paper's twelve.",
    ),
]
PresetOption = Annotated[
    Preset,
    typer.Option(help="Model sizes: 'small' for two cores, 'paper' for the paper's."),
]
ModelOption = Annotated[
    str | None,
    typer.Option(help="Language model of the lm_ blocks: a directory or a hub name."),
]
AsDeliveredOption = Annotated[
    bool,
    typer.Option("--as-delivered", help="Leave out what was delivered at the cutoff or later."),
]
EngineOption = Annotated[
    EngineName | None,
    typer.Option(
        help="Where the work on clients is done: 'local', or 'ray', a cluster; as UBP_ENGINE."
    ),
]
AddressOption = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="A Ray cluster; by default RAY_ADDRESS, or one that is started on this machine.",
    ),
]
ClientArgument = Annotated[
    str, typer.Argument(help="The client's id, as the shop writes it.", metavar="CLIENT_ID")
]


def listed(texts: list[str] | None) -> list[str]:
    """Split options that hold several names, separated by commas."""
    names = [name.strip() for text in texts or [] for name in text.split(",") if name.strip()]
    if texts and not names:
        raise UBPError(f"{texts[0]!r} names nothing")
    return names
