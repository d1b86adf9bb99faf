"""Choices of the command line and of the functions below it, as types."""

from typing import Literal

#: Sizes of models: for two cores, or the paper's.
Preset = Literal["small", "paper"]
#: Which blocks make up a profile where none are named.
ProfileKind = Literal["default", "paper"]
#: Sizes of the network that scores profiles.
NetworkName = Literal["small", "paper"]
#: Where a head is tuned: on an inner split of the train window, or, as in the challenge, on the
#: validation window.
ProtocolName = Literal["holdout", "challenge"]
#: Where the work on many clients is done: in this process, or on a Ray cluster.
EngineName = Literal["local", "ray"]
ExportFormat = Literal["challenge"]
#: Logs whose size a simulated log can have.
LogName = Literal["challenge"]
