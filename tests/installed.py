"""What pyproject.toml declares, and what is installed."""

import tomllib
from collections.abc import Iterable
from importlib.metadata import distribution, packages_distributions

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from ubp_platform.home import PROJECT_ROOT

_PROJECT = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text("utf-8"))["project"]
#: Who has brought a package that can be imported; several where they share a name, such as google.
OWNERS = {
    name: {canonicalize_name(owner) for owner in owners}
    for name, owners in packages_distributions().items()
}


def requirements(*groups: str) -> list[Requirement]:
    """List what is declared, as far as it is for this Python: the ``base``, or extras."""
    declared = {"base": _PROJECT["dependencies"], **_PROJECT["optional-dependencies"]}
    found = [Requirement(text) for group in groups or declared for text in declared[group]]
    return [need for need in found if not need.marker or need.marker.evaluate()]


def names(*groups: str) -> set[str]:
    """Name what is declared."""
    return {canonicalize_name(need.name) for need in requirements(*groups)}


def closure(wanted: Iterable[Requirement]) -> set[str]:
    """Name all that gets installed with some requirements, as their metadata say."""
    found: set[tuple[str, str]] = set()
    ahead = [*wanted]
    while ahead:
        requirement = ahead.pop()
        name = canonicalize_name(requirement.name)
        for extra in {"", *requirement.extras} - {extra for of, extra in found if of == name}:
            found.add((name, extra))
            needs = map(Requirement, distribution(name).requires or [])
            ahead += [
                need for need in needs if not need.marker or need.marker.evaluate({"extra": extra})
            ]
    return {name for name, _ in found}
