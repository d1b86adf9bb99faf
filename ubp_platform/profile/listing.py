"""Finding profile versions: by name, by tag, or the newest one."""

from pathlib import Path

from ubp_platform import sealed
from ubp_platform.blocks.catalog import version_directories
from ubp_platform.errors import DamagedFile, UBPError
from ubp_platform.home import Home
from ubp_platform.names import number
from ubp_platform.profile.tags import read_tags
from ubp_platform.profile.version import ProfileVersion


def versions(home: Home, directory: Path | None = None) -> list[ProfileVersion]:
    """List the profile versions of a directory, oldest first; warn of damaged ones.

    By default those for serving.
    """
    return sealed.whole(inspect_versions(home, directory))


def inspect_versions(
    home: Home, directory: Path | None = None
) -> tuple[list[ProfileVersion], list[DamagedFile]]:
    """List the profile versions of a directory, and what is wrong with damaged ones."""
    return sealed.sort_out(version_directories(directory or home.profiles), ProfileVersion.load)


def aligned_name(of: str, to: str) -> str:
    """Return the name of the version that maps one version into the space of another one."""
    return f"{of}@{to}"


def aligned_directories(home: Home, of: str = "") -> list[Path]:
    """List ``v2@v1``, …: the versions that are aligned with another one, or those of one version.

    They are no versions of their own: none is ever the newest.
    """
    numbers = {
        path: [number(name) for name in path.name.split("@")]
        for path in home.profiles.glob("v*@v*")
    }
    found = [path for path, pair in numbers.items() if len(pair) == 2 and all(pair)]
    ordered = sorted(found, key=numbers.__getitem__)
    return [path for path in ordered if of in ("", path.name.partition("@")[0])]


def inspect_aligned(home: Home, of: str = "") -> tuple[list[ProfileVersion], list[DamagedFile]]:
    """List aligned versions, as :func:`aligned_directories`, and what is wrong with others."""
    return sealed.sort_out(aligned_directories(home, of), ProfileVersion.load)


def aligned_versions(home: Home, of: str = "") -> list[ProfileVersion]:
    """List aligned versions, as :func:`aligned_directories`; warn of damaged ones."""
    return sealed.whole(inspect_aligned(home, of))


def newest_version(home: Home) -> ProfileVersion:
    """Return the newest profile version.

    Raises
    ------
    UBPError
        If there is none, or it is damaged: an older one is no substitute for it.
    """
    home.require()
    directories = version_directories(home.profiles)
    if not directories:
        raise UBPError("there is no profile yet: run `ubp train` first")
    return ProfileVersion.load(directories[-1])


def named_versions(home: Home) -> list[str]:
    """Return all that names a version: the versions for serving, aligned ones, then tags."""
    directories = [*version_directories(home.profiles), *aligned_directories(home)]
    return [*(path.name for path in directories), *read_tags(home)]


def get_version(home: Home, name: str | None) -> ProfileVersion:
    """Return the profile version of a name, or of a tag; without one the newest version.

    Raises
    ------
    UBPError
        If there is no such version.
    """
    if name is None:
        return newest_version(home)
    home.require()
    directories = [*version_directories(home.profiles), *aligned_directories(home)]
    known = [path.name for path in directories]
    tags = read_tags(home) if name not in known else {}
    name = tags.get(name, name)
    if name not in known:
        names = ", ".join([*known, *tags]) or "none yet"
        raise UBPError(f"no profile version is called {name!r}; there are: {names}")
    return ProfileVersion.load(home.profiles / name)
