"""Blocks that are one SQL query: named features of each client, with nothing to learn."""

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import field
from typing import ClassVar

import duckdb
import numpy as np
import pyarrow as pa

from ubp_platform.blocks.base import Block, Normalization, below
from ubp_platform.blocks.checkpoint import Checkpoint
from ubp_platform.blocks.snapshot import Snapshot
from ubp_platform.errors import UBPError, first_line
from ubp_platform.progress import ProgressFactory, silent
from ubp_platform.warehouse.history import History, query_text

# What is in quotes, or a run of comments and blanks, which say nothing.
_QUOTED_OR_BLANK = re.compile(
    r"""('(?:[^']|'')*'|"(?:[^"]|"")*")|(?:--[^\n]*|/\*.*?\*/|\s)+""", re.DOTALL
)
_NUMBER = re.compile(r"U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|FLOAT|DOUBLE|BOOLEAN|DECIMAL.*")


class FeatureBlock(Block):
    """Named numbers of each client, computed by one query.

    The query gives one row per relevant client with a usable event, by ascending ``client_id``,
    which comes first; each further column is a feature of that name, a finite number. The query
    sees what :meth:`History.table <ubp_platform.warehouse.history.History.table>` names.

    There is nothing to learn: a fit notes how many clients there are, and a hash of the definition.
    Once the definition has changed, fits of the older one are refused: no profile mixes two.
    """

    normalization: ClassVar[Normalization] = "quantile"
    #: The SQL text; by default the file ``warehouse/sql/`` that has the block's name.
    query: ClassVar[str] = ""
    #: Files of ``warehouse/sql/`` that the query reads by name: what is counted over all clients,
    #: once per history.
    counted: ClassVar[tuple[str, ...]] = ()
    #: Files of ``warehouse/sql/`` that the query reads by name, too: they are asked once, when the
    #: block is fitted, and kept with the fit. Their columns are whole numbers.
    kept: ClassVar[tuple[str, ...]] = ()

    kept_: dict[str, pa.Table] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def sql(cls) -> str:
        """Give the query's text."""
        return cls.query or query_text(cls.name)

    @classmethod
    def definition(cls) -> str:
        """Name what is computed: a hash of the SQL, without comments and layout."""
        texts = [cls.sql(), *map(query_text, (*cls.counted, *cls.kept))]
        plain = [
            _QUOTED_OR_BLANK.sub(lambda found: found[1] or " ", text).strip() for text in texts
        ]
        return hashlib.sha256("\n".join(plain).encode()).hexdigest()

    def _fit(self, history: History, progress: ProgressFactory, checkpoint: Checkpoint) -> None:
        super()._fit(history, progress, checkpoint)
        # Now, so that a query that cannot be run leaves no fit behind.
        with self._errors_in_a_line():
            self.kept_ = {name: history.table(name) for name in self.kept}
            first, *features = history.columns(self.sql(), self.counted, self.kept_).items()
        if first != ("client_id", "BIGINT"):
            raise UBPError(f"{self.name}: the query's first column must be client_id, not {first}")
        if not features:
            raise UBPError(f"{self.name}: the query has no column beside client_id: no feature")
        for name, kind in features:
            if not _NUMBER.fullmatch(kind):
                raise UBPError(f"{self.name}: the feature {name} is no number, but a {kind}")

    @contextmanager
    def _errors_in_a_line(self) -> Iterator[None]:
        try:
            yield
        except duckdb.Error as error:
            raise UBPError(f"{self.name}: the query cannot be run: {first_line(error)}") from None

    def encode(self, history: History, progress: ProgressFactory = silent) -> Snapshot:
        """Compute the features of each relevant client with a usable event."""
        bar = progress(f"{self.name}: encode", None, "clients")
        with self._errors_in_a_line(), bar as advance:
            table = history.query(self.sql(), counted=self.counted, given=self.kept_)
            advance(table.num_rows)
        names = tuple(table.column_names[1:])
        vectors = np.empty((table.num_rows, len(names)), dtype=np.float32)
        for column, feature in enumerate(names):
            vectors[:, column] = table[feature].to_numpy()
            if not np.isfinite(vectors[:, column]).all():
                raise UBPError(
                    f"{self.name}: the feature {feature} is not a finite number for every client: "
                    "let the query say what stands for an undefined value, as coalesce(…, 0) does"
                )
        client_ids = table["client_id"].to_numpy()
        if (np.diff(client_ids) <= 0).any():
            raise UBPError(f"{self.name}: the query must give each client once, ORDER BY client_id")
        return Snapshot(history.cutoff, client_ids, vectors, names)

    def state(self) -> dict[str, np.ndarray]:  # noqa: D102
        return {
            f"{name}.{column}": table[column].to_numpy().astype(np.int64)
            for name, table in self.kept_.items()
            for column in table.column_names
        }

    def restore(self, arrays: dict[str, np.ndarray]) -> None:  # noqa: D102
        self.kept_ = {name: pa.table(below(arrays, name)) for name in self.kept}
