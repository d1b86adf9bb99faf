"""What an autoencoder of a profile remembers of a client, in words."""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from ubp_platform.errors import UBPError
from ubp_platform.home import Home

if TYPE_CHECKING:
    from pipelines.explain import Explanation

# Steps that are shown.
_STEPS = 20


@dataclass(frozen=True)
class ExplainedPage:
    """An explanation, or why there is none.

    Parameters
    ----------
    explanation : Explanation, optional
    steps : list of (int, list of (str, str, bool))
        The newest steps: the number, and for each field what happened, what came back, whether
        both are the same.
    why_not : str
    """

    explanation: "Explanation | None"
    steps: list[tuple[int, list[tuple[str, str, bool]]]]
    why_not: str = ""


def explained(home: Home, version: str, client_id: str, cutoff: datetime | None) -> ExplainedPage:
    """Decode a client's vector of a cutoff; this needs what a fit needs."""
    try:
        from pipelines.explain import explain
    except ImportError:
        return ExplainedPage(None, [], "this server was installed without torch")
    try:
        found = explain(home, client_id, version=version, cutoff=cutoff)
    except UBPError as error:
        return ExplainedPage(None, [], str(error))
    fields = list(found.true)
    length = len(found.true[fields[0]])
    steps = []
    for step in range(max(0, length - _STEPS), length):
        pairs = []
        for name in fields:
            ours = found.decoded[name]
            came = ours[step] if step < len(ours) else ""
            pairs.append((found.true[name][step], came, found.same[name][step]))
        steps.append((step + 1, pairs))
    return ExplainedPage(found, steps[::-1])
