"""Blocks that are one SQL query: named features of each client."""

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import field
from typing import ClassVar

import duckdb
import numpy as np
import pyarrow as pa

from ubp_platform.blocks.base import Block, Normalization
from ubp_platform.blocks.checkpoint import Checkpoint
from ubp_platform.blocks.snapshot import Snapshot
from ubp_platform.blocks.state_arrays import Arrays, strip_prefix
from ubp_platform.errors import UBPError, first_line
from ubp_platform.progress import ProgressFactory, logged
from ubp_platform.warehouse.history import History, query_text

# A quoted text, or a run of comments and whitespace, which do not change a query.
_QUOTED_OR_BLANK = re.compile(
    r"""('(?:[^']|'')*'|"(?:[^"]|"")*")|(?:--[^\n]*|/\*.*?\*/|\s)+""", re.DOTALL
)
_NUMBER = re.compile(r"U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|FLOAT|DOUBLE|BOOLEAN|DECIMAL.*")


class FeatureBlock(Block):
    """Numeric features of each client, computed by one query.

    The query returns one row per relevant client with a usable event, ordered by ``client_id``,
    its first column; each further column is a feature, a finite number. The query can read what
    :meth:`History.query <ubp_platform.warehouse.history.History.query>` lists.

    Nothing is learned: a fit records the number of clients and a hash of the definition. When the
    definition has changed, older fits are refused, so no profile mixes two definitions.
    """

    normalization: ClassVar[Normalization] = "quantile"
    #: The SQL text; by default the file in ``warehouse/sql/`` named as the block.
    query: ClassVar[str] = ""
    #: Files of ``warehouse/sql/`` that the query reads by name: counts over all clients, computed
    #: once per history.
    counted: ClassVar[tuple[str, ...]] = ()
    #: Files of ``warehouse/sql/`` that the query reads by name: computed once, when the block is
    #: fitted, and saved with the fit. Their columns are integers.
    fit_queries: ClassVar[tuple[str, ...]] = ()

    fit_tables_: dict[str, pa.Table] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def sql(cls) -> str:
        """Return the text of the query."""
        return cls.query or query_text(cls.name)

    @classmethod
    def definition(cls) -> str:
        """Hash the SQL, without comments and layout."""
        texts = [cls.sql(), *map(query_text, (*cls.counted, *cls.fit_queries))]
        plain = [
            _QUOTED_OR_BLANK.sub(lambda match: match[1] or " ", text).strip() for text in texts
        ]
        return hashlib.sha256("\n".join(plain).encode()).hexdigest()

    def _fit(self, history: History, progress: ProgressFactory, checkpoint: Checkpoint) -> None:
        super()._fit(history, progress, checkpoint)
        # Checked here, so that an invalid query leaves no fit behind.
        with self._errors_in_one_line():
            self.fit_tables_ = {name: history.table(name) for name in self.fit_queries}
            first, *features = history.columns(self.sql(), self.counted, self.fit_tables_).items()
        if first != ("client_id", "BIGINT"):
            raise UBPError(f"{self.name}: the query's first column must be client_id, not {first}")
        if not features:
            raise UBPError(f"{self.name}: the query has no feature, only the column client_id")
        for name, kind in features:
            if not _NUMBER.fullmatch(kind):
                raise UBPError(f"{self.name}: the feature {name} must be a number, not {kind}")

    @contextmanager
    def _errors_in_one_line(self) -> Iterator[None]:
        try:
            yield
        except duckdb.Error as error:
            raise UBPError(f"{self.name}: the query cannot be run: {first_line(error)}") from None

    def encode(self, history: History, progress: ProgressFactory = logged) -> Snapshot:
        """Compute the features of each relevant client with a usable event."""
        bar = progress(f"{self.name}: encode", None, "clients")
        with self._errors_in_one_line(), bar as advance:
            table = history.query(self.sql(), counted=self.counted, given=self.fit_tables_)
            advance(table.num_rows)
        names = tuple(table.column_names[1:])
        vectors = np.empty((table.num_rows, len(names)), dtype=np.float32)
        for column, feature in enumerate(names):
            vectors[:, column] = table[feature].to_numpy()
            if not np.isfinite(vectors[:, column]).all():
                raise UBPError(
                    f"{self.name}: the feature {feature} is not a finite number for every client: "
                    "let the query replace undefined values, as with coalesce(…, 0)"
                )
        client_ids = table["client_id"].to_numpy()
        if (np.diff(client_ids) <= 0).any():
            raise UBPError(
                f"{self.name}: the query must return each client once, ORDER BY client_id"
            )
        return Snapshot(history.cutoff, client_ids, vectors, names)

    def state(self) -> Arrays:  # noqa: D102
        return {
            f"{name}.{column}": table[column].to_numpy().astype(np.int64)
            for name, table in self.fit_tables_.items()
            for column in table.column_names
        }

    def restore(self, arrays: Arrays) -> None:  # noqa: D102
        self.fit_tables_ = {name: pa.table(strip_prefix(arrays, name)) for name in self.fit_queries}
