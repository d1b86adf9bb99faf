"""What a user chooses among, as types: of the command line, and of the functions below it."""

from typing import Literal

#: Sizes of models: for two cores, or the paper's.
Preset = Literal["small", "paper"]
#: Which blocks a profile is made of, where none are named.
ProfileKind = Literal["default", "paper"]
#: Sizes of the network that scores profiles.
NetworkName = Literal["small", "paper"]
#: Where a head's choices come from: an inner split of the train window, or, as the challenge has
#: it, the validation window.
ProtocolName = Literal["holdout", "challenge"]
ExportFormat = Literal["challenge"]
#: Logs that a simulated one can be as large as.
LogName = Literal["challenge"]
