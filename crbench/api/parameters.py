"""Marks of arguments that are more than one value: a record of parameters, or another method."""

from __future__ import annotations

import attrs

from crbench.api.entry import Kind


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


@attrs.frozen
class OtherMethod:
    """Marks an argument of an entry's target that is another method, which users choose by its name.

    The target writes ``inner: Annotated[Aligner | None, OtherMethod("aligner")] = None`` and is given the built method.
    Users then write ``--set match-rate.inner=vpfa/light``, and ``--set match-rate.inner.epochs=5`` for its parameters.
    All that decides what the other method does counts in results and cache keys: its name, parameters, files and code.

    Args:
        kind: of the method, ``aligner`` or ``backbone``.

    Example:
        >>> OtherMethod("aligner").kind
        'aligner'
    """

    kind: Kind
