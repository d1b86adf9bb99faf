"""The Feast objects of the home: one view per block, one view and service per profile version.

They are derived from the trained blocks and profile versions, so there is nothing to edit here;
`feast apply` and `ubp publish` use the same objects.
"""

from ubp_platform.home import PROJECT_ROOT, Home
from ubp_platform.settings import Settings
from ubp_platform.store.objects import feast_objects
from ubp_platform.store.served import Served

# Feast runs this in its own directory: a relative home is meant from the clone's.
_home = Home(PROJECT_ROOT / Settings.load().home)
# Feast collects the objects in the namespace of this module.
_served = Served.read(_home)
_publishes = {name: _served.publishes.get(name, "") for name in _served.online} if _served else {}
globals().update(
    {f"{type(item).__name__}_{item.name}": item for item in feast_objects(_home, _publishes)}
)
