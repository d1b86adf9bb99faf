"""The contract of a block, and the registry of all blocks."""

import fnmatch
import json
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict
from safetensors.numpy import load_file, save

from ubp_platform.blocks.checkpoint import Checkpoint
from ubp_platform.blocks.snapshot import Snapshot
from ubp_platform.errors import UBPError
from ubp_platform.progress import ProgressFactory, silent
from ubp_platform.warehouse.history import History

# In the order of the profile. A new block is one new file and one line here.
REGISTRY = {
    "ials_categories": "ubp_platform.blocks.ials:IALSCategories",
    "ials_page_visits": "ubp_platform.blocks.ials_page_visits:IALSPageVisits",
    "lightfm": "ubp_platform.blocks.lightfm:LightFMBlock",
    "next_product": "ubp_platform.blocks.next_product:NextProduct",
    "next_url": "ubp_platform.blocks.next_url:NextURL",
    "gru_ae_day_event_type": "ubp_platform.blocks.gru_ae_day_event_type:GRUAEDayEventType",
    "gru_ae_all": "ubp_platform.blocks.gru_ae_all:GRUAEAll",
    "gru_ae_week_all": "ubp_platform.blocks.gru_ae_week_all:GRUAEWeekAll",
    "gru_ae_sku_text": "ubp_platform.blocks.gru_ae_sku_text:GRUAESkuText",
    "lm_all_interactions": "ubp_platform.blocks.lm_all_interactions:LMAllInteractions",
    "lm_search_queries": "ubp_platform.blocks.lm_search_queries:LMSearchQueries",
    "handcrafted": "ubp_platform.blocks.handcrafted:Handcrafted",
}
PRESETS = ("small", "paper")


class Params(BaseModel):
    """Parameters of a block; each block adds its own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = 0


class FitReport(BaseModel):
    """What a fit leaves behind besides weights.

    Parameters
    ----------
    cutoff : datetime
        The model saw nothing at or after it.
    seconds : float
        How long the fit took.
    clients : int
        How many clients it was fitted on.
    curves : dict of str to list of float
        Losses, one value an epoch (iteration): ``train``, ``validation``.
    loss : float, optional
        The loss of the weights that were kept.
    complete : bool
        False where the fit was interrupted; such a fit is not used again in place of a new one.
    note : str
        What a user should know, such as that the fit was interrupted.
    """

    cutoff: datetime
    seconds: float = 0.0
    clients: int = 0
    curves: dict[str, list[float]] = {}
    loss: float | None = None
    complete: bool = True
    note: str = ""

    def resumed(self, done: str) -> None:
        """Note that the fit goes on after, say, ``epoch 3``."""
        self.note = f"resumed after {done}"

    def interrupted(self, done: str, planned: int, kept: int | None = None) -> None:
        """Note that the fit ended after ``done`` of the planned rounds, and which one is kept."""
        self.complete = False
        self.note = f"interrupted after {done} of {planned}"
        if kept is not None:
            self.note += f"; the best epoch ({kept}) is kept"


class Block(ABC):
    """One method that turns a client's history into a vector.

    A subclass defines the class variables, ``_fit``, ``encode``, ``state`` and ``restore``. It
    never opens DuckDB, Feast or a file of events: the history hands it arrays.

    Parameters
    ----------
    **params
        Fields of :attr:`Parameters`; ``__init__`` stores them and does nothing else.

    Attributes
    ----------
    scratch : Path, optional
        A directory in which a block may keep what saves it work; all of it can be deleted.
    report_ : FitReport
        Set by :meth:`fit`.
    """

    name: ClassVar[str]
    #: Where the paper describes it.
    section: ClassVar[str]
    #: Raised with each change that makes another fit of the same history and parameters.
    revision: ClassVar[int] = 1
    #: Event types of which at least one must be there.
    needs: ClassVar[tuple[str, ...]]
    #: How the profile normalizes it (paper, section 3.3).
    normalization: ClassVar[Literal["unit", "quantile"]] = "unit"
    #: How many principal components the profile keeps; None keeps the vector as it is.
    components: ClassVar[int | None] = None
    Parameters: ClassVar[type[Params]] = Params
    #: Parameters that differ from the defaults, by preset.
    presets: ClassVar[dict[str, dict[str, Any]]] = {"small": {}, "paper": {}}

    scratch: Path | None = None
    report_: FitReport

    def __init__(self, **params: Any) -> None:
        self.params = self.Parameters(**params)

    @classmethod
    def from_preset(cls, preset: str, **overrides: Any) -> Self:
        """Make an unfitted block with the parameters of ``small`` or ``paper``."""
        return cls(**{**cls.presets[preset], **overrides})

    def check(self) -> None:  # noqa: B027
        """Insist that all is there that a fit needs besides events.

        Raises
        ------
        UBPError
            If something is missing, such as a language model; says the ways out.
        """

    def depends_on(self) -> str:
        """Name what a fit depends on besides its parameters and the history; nothing by default."""
        return ""

    def fit(
        self,
        history: History,
        progress: ProgressFactory = silent,
        checkpoint: Checkpoint | None = None,
    ) -> Self:
        """Learn from a history.

        Parameters
        ----------
        history : History
        progress : ProgressFactory
        checkpoint : Checkpoint, optional
            Where to go on, and where to note after each epoch how far the fit is. A fit that was
            cut off and goes on ends with the very weights of one that was not.

        Returns
        -------
        Block
            Itself, fitted.

        Raises
        ------
        BlockUnavailable
            If the history has no event that the block can use.
        """
        history.require(self.needs)
        start = time.perf_counter()
        self.report_ = FitReport(cutoff=history.cutoff)
        checkpoint = checkpoint or Checkpoint()
        self._fit(history, progress, checkpoint)
        self.report_.seconds = round(checkpoint.seconds + time.perf_counter() - start, 3)
        return self

    @abstractmethod
    def _fit(self, history: History, progress: ProgressFactory, checkpoint: Checkpoint) -> None:
        """Learn, and fill in the report."""

    @abstractmethod
    def encode(self, history: History, progress: ProgressFactory = silent) -> Snapshot:
        """Turn each relevant client with usable events into a vector.

        Parameters
        ----------
        history : History
            At any cutoff, with any clients; need not be the one of the fit.
        progress : ProgressFactory

        Returns
        -------
        Snapshot
            Clients without usable events are absent.
        """

    @abstractmethod
    def state(self) -> dict[str, np.ndarray]:
        """Give the fitted arrays: weights and vocabularies."""

    @abstractmethod
    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        """Take back what :meth:`state` gave."""

    def save(self, directory: Path) -> None:
        """Write ``block.json`` (parameters, cutoff, losses, duration) and ``weights.safetensors``.

        Parameters
        ----------
        directory : Path
            Created where it is missing.
        """
        directory.mkdir(parents=True, exist_ok=True)
        description = {
            "block": self.name,
            "revision": self.revision,
            "params": self.params.model_dump(mode="json"),
            "report": self.report_.model_dump(mode="json"),
            "saved_at": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        (directory / "block.json").write_text(json.dumps(description, indent=2) + "\n")
        arrays = {name: np.ascontiguousarray(array) for name, array in self.state().items()}
        # Not `save_file`, whose files nobody else may read, whatever the umask says.
        (directory / "weights.safetensors").write_bytes(save(arrays))

    @classmethod
    def describe(cls, directory: Path) -> Self:
        """Read a block's parameters and report, without its weights.

        Parameters
        ----------
        directory : Path
            What :meth:`save` wrote.

        Raises
        ------
        UBPError
            If it holds another block, or one of another revision.
        """
        description = json.loads((directory / "block.json").read_text())
        if description["block"] != cls.name:
            raise UBPError(f"{directory} holds the block {description['block']}, not {cls.name}")
        if description.get("revision") != cls.revision:
            raise UBPError(
                f"{directory} was fitted by another release: run `ubp train {cls.name}` again"
            )
        block = cls(**description["params"])
        block.report_ = FitReport(**description["report"])
        return block

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Read a fitted block back; raises what :meth:`describe` does.

        Parameters
        ----------
        directory : Path
            What :meth:`save` wrote.
        """
        block = cls.describe(directory)
        block.restore(load_file(directory / "weights.safetensors"))
        return block


def matching(patterns: Iterable[str]) -> list[str]:
    """Name the blocks that match any of some patterns, in the order of the profile.

    Parameters
    ----------
    patterns : iterable of str
        Names, or patterns such as ``gru_*``.

    Raises
    ------
    UBPError
        If a pattern matches no block.

    Examples
    --------
    >>> matching(["lm_*", "handcrafted"])
    ['lm_all_interactions', 'lm_search_queries', 'handcrafted']
    """
    found = set()
    for pattern in patterns:
        matched = fnmatch.filter(REGISTRY, pattern)
        if not matched:
            raise UBPError(f"no block is called {pattern!r}; there are {', '.join(REGISTRY)}")
        found.update(matched)
    return [name for name in REGISTRY if name in found]


def block_class(name: str) -> type[Block]:
    """Find a block by its name.

    Raises
    ------
    UBPError
        If there is no such block.
    """
    if name not in REGISTRY:
        raise UBPError(f"no block is called {name!r}; there are {', '.join(REGISTRY)}")
    module, attribute = REGISTRY[name].split(":")
    found: type[Block] = getattr(import_module(module), attribute)
    return found
