"""Opening the engine that a command or the settings name."""

from ubp_platform.choices import EngineName
from ubp_platform.engine.base import HERE, Engine
from ubp_platform.errors import UBPError
from ubp_platform.settings import Settings


def open_engine(name: EngineName | None = None, address: str | None = None) -> Engine:
    """Return an engine.

    Parameters
    ----------
    name : {"local", "ray"}, optional
        By default what the settings say; an address alone means Ray.
    address : str, optional
        Of a Ray cluster.

    Raises
    ------
    UBPError
        If Ray is not installed, no cluster answers, or an address is given without Ray.
    """
    chosen = name or ("ray" if address else Settings.load().engine)
    if chosen == "local":
        if address:
            raise UBPError("--address is that of a Ray cluster: add --engine ray")
        return HERE
    try:
        from ubp_platform.engine.ray_engine import RayEngine
    except ImportError:
        raise UBPError(
            "--engine ray needs the package ray, an extra: pip install 'ubp-platform[ray]'"
        ) from None
    return RayEngine(address)
