"""The contract of a block."""

import hashlib
import json
import time
from abc import ABC, abstractmethod
from dataclasses import field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
from safetensors.numpy import load_file, save

from ubp_platform.blocks.checkpoint import Checkpoint
from ubp_platform.blocks.fit_report import FitReport
from ubp_platform.blocks.parameters import Parameterized
from ubp_platform.blocks.snapshot import Snapshot
from ubp_platform.errors import BlockUnavailable, UBPError, first_line
from ubp_platform.progress import ProgressFactory, silent
from ubp_platform.warehouse.history import History

#: How a profile brings a block to scale; see :mod:`ubp_platform.profile.normalizer`.
Normalization = Literal["unit", "quantile", "log", "standard", "centred"]


class Block(Parameterized, ABC):
    """One method that turns a client's history into a vector.

    A subclass defines the class variables ``name`` and ``needs``, its parameters, and ``encode``;
    one that learns something also ``_fit``, ``state`` and ``restore``. It never opens DuckDB, Feast
    or a file of events: the history hands it arrays and tables. A block that is one SQL query is a
    :class:`~ubp_platform.blocks.features.FeatureBlock`. ``docs/how-to/new-block.md`` shows how to
    add one.

    Parameters
    ----------
    seed : int
        Of all random numbers of a fit.

    Attributes
    ----------
    scratch : Path, optional
        A directory in which a block may keep what saves it work; all of it can be deleted.
    report_ : FitReport
        Set by :meth:`fit`.

    Raises
    ------
    ValueError
        If a parameter is not of its type or range.
    """

    #: Its key in the registry; a valid Python identifier.
    name: ClassVar[str]
    #: The section of the paper that describes it; empty where none does.
    section: ClassVar[str] = ""
    #: Part of a fit's identity. Raise it with each change of code after which another fit comes of
    #: the same history and parameters: fits of the older revision are then not used again.
    revision: ClassVar[int] = 1
    #: Event types of which at least one must be there.
    needs: ClassVar[tuple[str, ...]]
    #: How the profile normalizes it (paper, section 3.3, and docs/concepts/profiles.md).
    normalization: ClassVar[Normalization] = "unit"
    #: How many principal components the profile keeps; None keeps the vector as it is.
    principal_components: ClassVar[int | None] = None
    #: The definition of fits that name none, because they are older than definitions.
    first_definition: ClassVar[str] = ""
    #: Parameters that had another name in earlier releases: the old name to the new one.
    renamed: ClassVar[dict[str, str]] = {}
    #: Parameters that differ from the defaults, by preset.
    presets: ClassVar[dict[str, dict[str, Any]]] = {"small": {}, "paper": {}}

    seed: int = 0

    scratch: Path | None = field(default=None, init=False, repr=False)
    report_: FitReport = field(init=False, repr=False)

    @classmethod
    def from_preset(cls, preset: str, **overrides: Any) -> Self:
        """Make an unfitted block with the parameters of ``small`` or ``paper``.

        Parameters
        ----------
        preset : {"small", "paper"}
        **overrides
            Parameters of the block.
        """
        if preset not in cls.presets:
            raise UBPError(
                f"{cls.name} has no preset {preset!r}; there are {', '.join(cls.presets)}"
            )
        return cls(**{**cls.presets[preset], **overrides})

    def check(self) -> None:
        """Insist that all is there that a fit needs besides events.

        Raises
        ------
        UBPError
            If something is missing, such as a language model; says the ways out.
        """

    @classmethod
    def definition(cls) -> str:
        """Name what the code computes, as far as that shows by itself; nothing by default.

        Like :attr:`revision` it is part of a fit's identity, and fits of another one are refused.
        """
        return ""

    def depends_on(self) -> str:
        """Name what a fit depends on besides its parameters and the history; nothing by default."""
        return ""

    def identity(self, history: str) -> str:
        """Name a fit: equal names, equal fits.

        Parameters
        ----------
        history : str
            The identity of the history; see :meth:`Warehouse.identity
            <ubp_platform.warehouse.Warehouse.identity>`.
        """
        older = {new: old for old, new in self.renamed.items()}
        config = self.config().model_dump(mode="json")
        made_with: list[Any] = [self.name, self.revision]
        # By the oldest names, so that fits of earlier releases are found.
        made_with.append({older.get(name, name): value for name, value in config.items()})
        made_with += [history, self.depends_on()]
        if (definition := self.definition()) != self.first_definition:
            made_with.append(definition)
        return hashlib.sha256(json.dumps(made_with).encode()).hexdigest()

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

    def _fit(self, history: History, progress: ProgressFactory, checkpoint: Checkpoint) -> None:
        """Learn, and fill in the report; by default there is nothing to learn.

        Raises
        ------
        BlockUnavailable
            If no relevant client has an event that can be used; :meth:`unavailable` makes it.
        """
        self.report_.clients = len(history.clients_with(self.needs))
        if not self.report_.clients:
            raise self.unavailable(history)

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

    def unavailable(self, history: History, what: str = "") -> BlockUnavailable:
        """Make the error that no relevant client has an event that the block can use.

        Parameters
        ----------
        history : History
        what : str
            What more such an event would have to have: ``with a known category``.
        """
        events = " or ".join(self.needs)
        return BlockUnavailable(
            f"no relevant client has a {events} event{' ' * bool(what)}{what} before "
            f"{history.cutoff:%Y-%m-%d %H:%M:%S}"
        )

    def state(self) -> dict[str, np.ndarray]:
        """Give the fitted arrays, such as weights and vocabularies; by default there are none."""
        return {}

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        """Take back what :meth:`state` gave."""

    def save(self, directory: Path | str) -> None:
        """Write ``block.json`` (parameters, cutoff, losses, duration) and ``weights.safetensors``.

        Parameters
        ----------
        directory : Path
            Created where it is missing.
        """
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        description = {
            "block": self.name,
            "revision": self.revision,
            "definition": self.definition(),
            "params": self.config().model_dump(mode="json"),
            "report": self.report_.model_dump(mode="json"),
            "saved_at": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        (directory / "block.json").write_text(json.dumps(description, indent=2) + "\n")
        arrays = {name: np.ascontiguousarray(array) for name, array in self.state().items()}
        # Not `save_file`, whose files nobody else may read, whatever the umask says.
        (directory / "weights.safetensors").write_bytes(save(arrays))

    @classmethod
    def describe(cls, directory: Path | str) -> Self:
        """Read a block's parameters and report, without its weights.

        Parameters
        ----------
        directory : Path
            What :meth:`save` wrote.

        Raises
        ------
        UBPError
            If it holds no block, another one, or one of another revision or definition.
        """
        directory = Path(directory)
        try:
            description = json.loads((directory / "block.json").read_text())
        except (OSError, ValueError) as error:
            raise UBPError(f"{directory} holds no block: {first_line(error)}") from None
        if description["block"] != cls.name:
            raise UBPError(f"{directory} holds the block {description['block']}, not {cls.name}")
        other = UBPError(
            f"{directory} was fitted by another definition of the block: `ubp train {cls.name}` "
            "fits it again, or bring the definition back"
        )
        definition = description.get("definition", cls.first_definition)
        if (description.get("revision"), definition) != (cls.revision, cls.definition()):
            raise other
        renamed = {
            cls.renamed.get(name, name): value for name, value in description["params"].items()
        }
        try:
            block = cls.from_config(renamed)
        except ValueError:
            raise other from None
        block.report_ = FitReport(**description["report"])
        return block

    @classmethod
    def load(cls, directory: Path | str) -> Self:
        """Read a fitted block back; raises what :meth:`describe` does.

        Parameters
        ----------
        directory : Path
            What :meth:`save` wrote.
        """
        block = cls.describe(directory)
        block.restore(load_file(Path(directory) / "weights.safetensors"))
        return block


def below(arrays: dict[str, np.ndarray], name: str) -> dict[str, np.ndarray]:
    """Give the arrays whose keys begin with a name and a full stop, by the rest of the key."""
    return {
        key.removeprefix(f"{name}."): array
        for key, array in arrays.items()
        if key.startswith(f"{name}.")
    }
