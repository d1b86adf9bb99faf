"""The Feast objects of the home: one view per block, one view and service per profile version.

They are derived from the trained blocks and profile versions, so there is nothing to edit here;
`feast apply` and `ubp publish` use the same objects.
"""

import os
from pathlib import Path

from ubp_platform.home import PROJECT_ROOT, Home
from ubp_platform.store.objects import feast_objects

_home = Home(home=Path(os.environ.get("UBP_HOME", PROJECT_ROOT / "ubp_home")))
# Feast collects the objects in this module's namespace.
globals().update({f"{type(item).__name__}_{item.name}": item for item in feast_objects(_home)})
