"""Classes with typed parameters: in the signature, validated, and saved as JSON."""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from functools import cache
from inspect import Parameter, get_annotations, signature
from typing import Annotated, Any, Self, dataclass_transform, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

#: A number between 0 and 1, both excluded.
Share = Annotated[float, Field(gt=0, lt=1)]


@dataclass_transform(kw_only_default=True, field_specifiers=(field,))
class Parameterized:
    """Base of classes whose annotated attributes are the parameters of their constructor.

    Each subclass becomes a dataclass with keyword arguments; a parameter that a subclass adds is
    one line, ``hidden: PositiveInt = 512``. Types are validated, also pydantic's constrained ones.
    Attributes that a fit sets are not parameters: do not annotate them in the class, or use
    ``field(init=False)``.

    Raises
    ------
    TypeError
        When a subclass is defined: if a parameter has no default, or its name is already in use.
    ValueError
        If a value has a wrong type or is out of range.

    Examples
    --------
    >>> class Histogram(Parameterized):
    ...     bins: Annotated[int, Field(ge=1)] = 24
    >>> Histogram(bins=12)
    Histogram(bins=12)
    >>> Histogram(bins=0)
    Traceback (most recent call last):
        ...
    ValueError: Histogram(bins=0): input should be greater than or equal to 1
    >>> Histogram.from_config(Histogram(bins=12).config())
    Histogram(bins=12)
    """

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        bases = cls.__mro__[1:]
        taken = {name for base in bases for name in (*vars(base), *get_annotations(base))}
        inherited = {parameter for base in cls.__bases__ for parameter in _parameters(base)}
        # A default without an annotation, `hidden = 64`, overrides that of an inherited parameter.
        types = {
            name: kind for base in reversed(bases) for name, kind in get_annotations(base).items()
        }
        for name in inherited & vars(cls).keys() - get_annotations(cls).keys():
            cls.__annotations__ = {**get_annotations(cls), name: types[name]}
        dataclass(kw_only=True, eq=False)(cls)
        for parameter in _parameters(cls):
            if parameter in taken - inherited:
                raise TypeError(
                    f"{cls.__name__}: {parameter!r} cannot be a parameter, the name is in use: "
                    "rename it, or leave its annotation out"
                )
            if signature(cls).parameters[parameter].default is Parameter.empty:
                raise TypeError(f"{cls.__name__}: the parameter {parameter!r} needs a default")
        # For `help`: `hidden: int = 512`, without pydantic's constraints.
        cls.__init__.__annotations__ = get_type_hints(cls.__init__)

    def __post_init__(self) -> None:
        given = {name: getattr(self, name) for name in self.parameters()}
        try:
            checked = self.config_type()(**given)
        except ValidationError as error:
            wrong = error.errors()[0]
            name, reason = str(wrong["loc"][0]), wrong["msg"][0].lower() + wrong["msg"][1:]
            raise ValueError(f"{type(self).__name__}({name}={given[name]!r}): {reason}") from None
        for name in given:
            setattr(self, name, getattr(checked, name))

    @classmethod
    def parameters(cls) -> tuple[str, ...]:
        """Return the names of the parameters, those of base classes first."""
        return _parameters(cls)

    @classmethod
    @cache
    def config_type(cls) -> type[BaseModel]:
        """Return the pydantic model whose fields are the parameters."""
        types = get_type_hints(cls, include_extras=True)
        parameters: dict[str, Any] = {}
        for parameter in fields(cls):  # type: ignore[arg-type]
            if parameter.init:
                default: Any = parameter.default
                if parameter.default_factory is not MISSING:
                    default = Field(default_factory=parameter.default_factory)
                parameters[parameter.name] = (types[parameter.name], default)
        closed = ConfigDict(frozen=True, extra="forbid")
        model: type[BaseModel] = create_model(
            f"{cls.__name__}Config", __config__=closed, **parameters
        )
        return model

    def config(self) -> BaseModel:
        """Return the values of all parameters, from which ``from_config`` makes an equal object."""
        return self.config_type()(**{name: getattr(self, name) for name in self.parameters()})

    @classmethod
    def from_config(cls, config: BaseModel | Mapping[str, Any]) -> Self:
        """Make an object from the result of :meth:`config`, also after a round trip through JSON.

        Raises
        ------
        ValueError
            If it has other parameters than the class, or invalid values.
        """
        values = config.model_dump() if isinstance(config, BaseModel) else config
        if not isinstance(values, Mapping):
            raise ValueError(f"{cls.__name__}: a configuration is a mapping, not {values!r}")
        if unknown := [name for name in values if name not in cls.parameters()]:
            names = ", ".join(cls.parameters())
            raise ValueError(f"{cls.__name__} has no parameter {unknown[0]!r}; there are {names}")
        return cls(**values)


def _parameters(cls: type) -> tuple[str, ...]:
    return tuple(f.name for f in fields(cls) if f.init) if is_dataclass(cls) else ()
