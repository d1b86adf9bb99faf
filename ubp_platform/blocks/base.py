"""The interface of a block, its identity, and its files."""

import hashlib
import json
import time
from abc import ABC, abstractmethod
from dataclasses import field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from ubp_platform.blocks.checkpoint import Checkpoint
from ubp_platform.blocks.fit_files import (
    FitDescription,
    fit_hash,
    read_description,
    read_fit,
    write_description,
    write_weights,
)
from ubp_platform.blocks.fit_report import FitReport
from ubp_platform.blocks.parameters import Parameterized
from ubp_platform.blocks.snapshot import Snapshot
from ubp_platform.blocks.state_arrays import Arrays
from ubp_platform.choices import Preset
from ubp_platform.errors import BlockUnavailable, UBPError
from ubp_platform.progress import ProgressFactory, logged
from ubp_platform.warehouse.history import History

#: How a profile scales a block; see :mod:`ubp_platform.profile.normalizer`.
Normalization = Literal["unit", "quantile", "log", "standard", "centred"]


class Block(Parameterized, ABC):
    """One method that turns a client's history into a vector.

    A subclass defines the class variables ``name`` and ``needs``, its parameters, and ``encode``;
    one that learns something also ``_fit``, ``state`` and ``restore``. It never opens DuckDB, Feast
    or event files: it reads arrays and tables of the history. A block that is one SQL query is a
    :class:`~ubp_platform.blocks.features.FeatureBlock`. ``docs/how-to/new-block.md`` shows how to
    add one.

    Parameters
    ----------
    seed : int
        Random seed of a fit.

    Attributes
    ----------
    scratch : Path, optional
        A directory for caches; everything in it can be deleted.
    report_ : FitReport
        Set by :meth:`fit`.

    Raises
    ------
    ValueError
        If a parameter has a wrong type or is out of range.
    """

    #: Its key in the registry; a valid Python identifier.
    name: ClassVar[str]
    #: The section of the paper that describes it, if any.
    section: ClassVar[str] = ""
    #: Part of a fit's identity. Raise it with each change of code that changes the fit of the same
    #: history and parameters: fits of the older revision are then no longer reused.
    revision: ClassVar[int] = 1
    #: Event types; the history must have events of at least one of them.
    needs: ClassVar[tuple[str, ...]]
    #: How the profile normalizes it (paper, section 3.3, and docs/concepts/profiles.md).
    normalization: ClassVar[Normalization] = "unit"
    #: Number of principal components that the profile keeps; None keeps the vector as it is.
    principal_components: ClassVar[int | None] = None
    #: The definition of fits that are older than :meth:`definition`.
    first_definition: ClassVar[str] = ""
    #: Whether several :mod:`~ubp_platform.blocks.processes` can fit it together.
    shared_fit: ClassVar[bool] = False
    #: Parameters renamed since an earlier release, old name to new name.
    renamed: ClassVar[dict[str, str]] = {}
    #: Parameters that differ from the defaults, by preset.
    presets: ClassVar[dict[Preset, dict[str, Any]]] = {"small": {}, "paper": {}}

    seed: int = 0

    scratch: Path | None = field(default=None, init=False, repr=False)
    report_: FitReport = field(init=False, repr=False)

    @classmethod
    def from_preset(cls, preset: Preset, **overrides: Any) -> Self:
        """Make an unfitted block with a preset's parameters, some of them overridden."""
        if preset not in cls.presets:
            raise UBPError(
                f"{cls.name} has no preset {preset!r}; there are {', '.join(cls.presets)}"
            )
        return cls(**{**cls.presets[preset], **overrides})

    def check(self) -> None:
        """Check that what a fit needs besides events is available.

        Raises
        ------
        UBPError
            If something is missing, such as a language model; the message names the ways out.
        """

    @classmethod
    def definition(cls) -> str:
        """Return a hash of what the block computes, such as its SQL; empty by default.

        Like :attr:`revision` it is part of a fit's identity: fits with another one are refused.
        """
        return ""

    def depends_on(self) -> str:
        """Identify what a fit depends on besides parameters and history; empty by default."""
        return ""

    def identity(self, history: str) -> str:
        """Identify the fit to a history of this identity: equal identities, equal fits."""
        # With the oldest names of parameters, so that fits of earlier releases are reused.
        old_names = {new: old for old, new in self.renamed.items()}
        config = self.config().model_dump(mode="json")
        params = {old_names.get(name, name): value for name, value in config.items()}
        inputs = [self.name, self.revision, params, history, self.depends_on()]
        if (definition := self.definition()) != self.first_definition:
            inputs.append(definition)
        return hashlib.sha256(json.dumps(inputs).encode()).hexdigest()

    def fit(
        self,
        history: History,
        progress: ProgressFactory = logged,
        checkpoint: Checkpoint | None = None,
    ) -> Self:
        """Fit the block to a history, and return it.

        The state is saved in the checkpoint after each epoch; a fit resumed from it ends with
        exactly the weights of an uninterrupted one.

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
        """Learn, and fill in the report; by default nothing is learned.

        Raises
        ------
        BlockUnavailable
            If no relevant client has a usable event; see :meth:`unavailable`.
        """
        self.report_.clients = len(history.clients_with(self.needs))
        if not self.report_.clients:
            raise self.unavailable(history)

    @abstractmethod
    def encode(self, history: History, progress: ProgressFactory = logged) -> Snapshot:
        """Turn each relevant client with usable events into a vector.

        The history may have any cutoff and any clients, not only those of the fit.
        """

    def unavailable(self, history: History, what: str = "") -> BlockUnavailable:
        """Make the error that no relevant client has a usable event.

        ``what`` is required of an event beyond its type, such as ``with a known category``.
        """
        events = " or ".join(self.needs)
        return BlockUnavailable(
            f"no relevant client has a {events} event{' ' * bool(what)}{what} before "
            f"{history.cutoff:%Y-%m-%d %H:%M:%S}"
        )

    def state(self) -> Arrays:
        """Return the fitted arrays, such as weights and vocabularies; none by default."""
        return {}

    def restore(self, arrays: Arrays) -> None:
        """Restore what :meth:`state` returned."""

    def save(self, directory: Path | str, identity: str = "", keys: str = "") -> None:
        """Write ``block.json`` (parameters, cutoff, losses, duration) and ``weights.safetensors``.

        Parameters
        ----------
        directory : Path or str
            Created where it is missing.
        identity : str
            The fit's :meth:`identity`.
        keys : str
            What the keys of text ids stand for in the history it was fitted on.
        """
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        arrays = self.state()
        write_weights(directory, arrays)
        write_description(
            directory,
            FitDescription(
                block=self.name,
                revision=self.revision,
                definition=self.definition(),
                params=self.config().model_dump(mode="json"),
                report=self.report_,
                saved_at=datetime.now(UTC).replace(microsecond=0),
                identity=identity,
                fit=fit_hash(identity, arrays),
                keys=keys,
            ),
        )

    @classmethod
    def describe(cls, directory: Path | str) -> Self:
        """Read the parameters and report of a saved block, without its weights.

        Raises
        ------
        UBPError
            If the directory holds no block, another block, or another revision or definition.
        """
        directory = Path(directory)
        description = read_description(directory)
        if description.block != cls.name:
            raise UBPError(f"{directory} holds the block {description.block}, not {cls.name}")
        other = UBPError(
            f"{directory} was fitted by another definition of the block: `ubp train {cls.name}` "
            "fits it again, or restore the definition"
        )
        written = description.definition
        definition = cls.first_definition if written is None else written
        if (description.revision, definition) != (cls.revision, cls.definition()):
            raise other
        params = {cls.renamed.get(name, name): v for name, v in description.params.items()}
        try:
            block = cls.from_config(params)
        except ValueError:
            raise other from None
        block.report_ = description.report
        return block

    @classmethod
    def load(cls, directory: Path | str) -> Self:
        """Read a saved block; raises what :meth:`describe` raises."""
        block = cls.describe(directory)
        block.restore(read_fit(Path(directory)))
        return block
