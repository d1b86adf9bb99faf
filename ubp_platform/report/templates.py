"""The templates of pages."""

from jinja2 import Environment, PackageLoader, StrictUndefined

from ubp_platform.report.svg import signed


def environment() -> Environment:
    """Return what renders the pages of this package."""
    environment = Environment(
        loader=PackageLoader("ubp_platform.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["signed"] = signed
    environment.filters["score"] = "{:.3f}".format
    environment.filters["integer"] = "{:,}".format
    environment.filters["day"] = "{:%Y-%m-%d}".format
    environment.filters["minute"] = "{:%Y-%m-%d %H:%M}".format
    return environment
