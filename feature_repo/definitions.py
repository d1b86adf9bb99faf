"""The Feast objects of the home: a view a block, and a view and a service a profile version.

They follow from the blocks and profile versions that were trained, so there is nothing to edit
here; `feast apply` and `ubp publish` see the same objects.
"""

from ubp_platform.home import PROJECT_ROOT, Home
from ubp_platform.settings import Settings
from ubp_platform.store.objects import feast_objects

# Feast runs this in its own directory: a relative home is meant from the clone's.
_home = Home(PROJECT_ROOT / Settings.load().home)
# Feast looks for objects among the names of this module.
globals().update({f"{type(item).__name__}_{item.name}": item for item in feast_objects(_home)})
