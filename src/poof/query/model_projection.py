"""The projection that gives just the fields of a model.

Pure.
"""

from functools import lru_cache

from pydantic import BaseModel

from poof.encoding.schemas import shape_of
from poof.encoding.shapes import Fields, Items, Shape, resolve
from poof.query.projection import Named, Projection, Rule


@lru_cache(maxsize=1024)
def project_model(model: type[BaseModel]) -> Projection | None:
    """What a model reads of a document, models inside it included; `None` where it takes any field.

    Raises:
        pydantic.PydanticUserError: the model is not fully defined.
    """
    rule = _rule(shape_of(model).shape, ())
    return rule if isinstance(rule, Projection) else None


def _rule(shape: Shape, within: tuple[Fields, ...]) -> Rule:
    shape = resolve(shape)
    while isinstance(shape, Items):
        shape = resolve(shape.item)
    if not isinstance(shape, Fields) or shape.is_open or any(shape is outer for outer in within):
        return Named(True)
    names = {name: _rule(inner, (*within, shape)) for name, inner in shape.stored.items()}
    for stored, others in shape.others.items():
        names |= dict.fromkeys(others - names.keys(), names[stored])
    return Projection(includes=True, rules=names, keeps_values=True)
