"""Settings of an installation, from the environment (``UBP_…``) or from the file ``ubp.toml``."""

import re
from pathlib import Path
from typing import Annotated

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    NonNegativeFloat,
    PositiveInt,
    ValidationError,
)
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from ubp_platform.choices import EngineName
from ubp_platform.errors import UBPError, first_line

FILE = Path("ubp.toml")
_LIMIT = re.compile(r"(\d+(?:\.\d+)?)\s*(%|[KMGT]i?B)")


def _limit(text: str) -> str:
    if not _LIMIT.fullmatch(text.strip()):
        raise ValueError(f"{text!r} is not an amount of memory, such as 4GB or 20%")
    return text.strip()


def _not_empty(value: object) -> object:
    # An unset variable of a shell must not become the current directory.
    if value == "":
        raise ValueError("a directory is expected, not an empty string")
    return value


class Settings(BaseSettings):
    """Settings of an installation.

    Each is read from the environment (``UBP_HOME``, ``UBP_MEMORY_LIMIT``, …), else from
    ``ubp.toml`` in the current directory.

    Parameters
    ----------
    home : Path
        The directory that holds all state.
    memory_limit : str
        What DuckDB may use in one process, such as ``4GB`` or ``20%`` of the machine's memory;
        what does not fit is spilled to disk. Models and vectors are not included.
    threads : int, optional
        CPU threads; all cores by default.
    online_store : str, optional
        ``sqlite``, ``redis`` or another type of Feast's; by default what
        ``feature_repo/feature_store.yaml`` says.
    redis : str, optional
        Connection string of Redis: ``host:port,password=…``.
    engine : {"local", "ray"}
        Where the work on many clients is done.
    lake : str, optional
        Where the log lies that Ray's workers read: a directory that all of them see, or an address
        such as ``s3://bucket/prefix``; by default in the home.
    max_columns, max_rows : int
        What a file from outside may have; one with more is refused before it is read.
    max_row_bytes : int
        What a line of a text file may have.
    compare_shift, compare_psi, compare_columns, compare_auroc, compare_absent,
    compare_gone, compare_gap : float
        What `ubp compare` lets pass at most.
    compare_cosine, compare_overlap : float
        What it lets pass at least.
    """

    model_config = SettingsConfigDict(
        env_prefix="UBP_", toml_file=FILE, frozen=True, extra="forbid", env_ignore_empty=False
    )

    home: Annotated[Path, BeforeValidator(_not_empty)] = Path("ubp_home")
    memory_limit: Annotated[str, AfterValidator(_limit)] = "20%"
    threads: PositiveInt | None = None
    online_store: str | None = None
    redis: str | None = None
    engine: EngineName = "local"
    lake: str | None = None
    max_columns: PositiveInt = 1_000
    max_rows: PositiveInt = 500_000_000
    max_row_bytes: PositiveInt = 1_000_000
    compare_shift: NonNegativeFloat = 0.25
    compare_cosine: Annotated[float, Field(ge=-1, le=1)] = 0.6
    compare_psi: NonNegativeFloat = 0.1
    compare_columns: Annotated[float, Field(ge=0, le=1)] = 0.05
    compare_auroc: Annotated[float, Field(ge=0.5, le=1)] = 0.85
    compare_overlap: Annotated[float, Field(ge=0, le=1)] = 0.15
    compare_absent: Annotated[float, Field(ge=0, le=1)] = 0.1
    compare_gone: Annotated[float, Field(ge=0, le=1)] = 0.1
    compare_gap: Annotated[float, Field(ge=1)] = 2

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read the environment before the file."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)

    @classmethod
    def load(cls) -> "Settings":
        """Read the settings.

        Raises
        ------
        UBPError
            If a value or the file is invalid.
        """
        try:
            return cls()
        except ValidationError as error:
            wrong = error.errors()[0]
            name = str(wrong["loc"][0])
            problem = wrong["msg"].split(", unable")[0].removeprefix("Value error, ")
            if not wrong["msg"].startswith("Value error"):
                problem += f", not {wrong['input']!r}"
            raise UBPError(
                f"UBP_{name.upper()} (or {name} in {FILE}): {problem}"
                if name in cls.model_fields
                else f"{FILE}: unknown setting {name!r}; known: {', '.join(cls.model_fields)}"
            ) from None
        except (ValueError, OSError) as error:
            raise UBPError(f"{FILE}: {first_line(error)}") from None

    def duckdb(self, share: float = 1.0) -> dict[str, str | int]:
        """Return the configuration of a DuckDB connection.

        Parameters
        ----------
        share : float
            The part of the memory limit that this database may use, where a process has several.

        Examples
        --------
        >>> Settings(memory_limit="4GB", threads=2).duckdb(share=0.5)
        {'memory_limit': '2GB', 'threads': 2}
        """
        number, unit = _LIMIT.fullmatch(self.memory_limit).groups()  # type: ignore[union-attr]
        limit: dict[str, str | int] = {"memory_limit": f"{float(number) * share:g}{unit}"}
        return limit | ({"threads": self.threads} if self.threads else {})
