"""`Flattened`: an argument of a method that is a record, whose fields are parameters of the method."""

from __future__ import annotations

import attrs


@attrs.frozen(init=False)
class Flattened:
    """Marks an argument of an entry's target that is an attrs record: its fields become parameters of the method.

    The target writes ``recipe: Annotated[Recipe, Flattened("epochs", "lr")] = RECIPE``. Users then write
    ``--set backbone.lr=0.01`` and presets say ``{"epochs": 120}``, as if the target took ``epochs`` and ``lr`` itself.
    The argument needs a default: it holds the values of parameters that nobody sets, and of fields that are not named.
    Results and cache keys hold the named fields only.

    Without this mark a record is one parameter, which users cannot set field by field.

    Args:
        fields: names of the fields to offer; none = all. A name must differ from every other parameter of the method.

    Example:
        >>> Flattened("epochs", "lr").fields
        ('epochs', 'lr')
    """

    fields: tuple[str, ...]

    def __init__(self, *fields: str) -> None:
        self.__attrs_init__(fields)
