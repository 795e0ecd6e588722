"""For random models, documents and updates: nothing is lost, and what is written reads back."""

import datetime
import decimal
import json
import uuid
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError, create_model

from poof.encoding.schemas import shape_of
from poof.encoding.shapes import Fields, Shape, fitting, part
from poof.errors import PoofError
from poof.models.binding import Binding
from poof.models.comparing import reads_equal
from poof.query.filters.parse import parse_filter
from poof.query.updates.update import parse_update
from poof.writes import update_change

NAMES = st.sampled_from("abcd")
UNKNOWN = st.sampled_from(["x", "y"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text("ab1", max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("xyz"), inner, max_size=2),
    max_leaves=4,
)
MOMENTS = st.datetimes(timezones=st.none() | st.just(datetime.UTC)) | st.datetimes(
    min_value=datetime.datetime(1900, 1, 1),
    max_value=datetime.datetime(2100, 1, 1),
    timezones=st.timezones(),
)
SCALARS: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (int, st.integers(-(2**63), 2**63 - 1)),
    (float, st.floats(allow_nan=False, allow_infinity=False)),
    (str, st.text(st.characters(codec="utf-8"), max_size=4)),
    (bool, st.booleans()),
    (datetime.datetime, MOMENTS),
    (datetime.date, st.dates()),
    (datetime.timedelta, st.timedeltas(min_value=-datetime.timedelta(9**6), max_value=datetime.timedelta(9**6))),
    (decimal.Decimal, st.decimals(allow_nan=False, allow_infinity=False)),
    (uuid.UUID, st.uuids()),
    (int | str, st.integers(-9, 9) | st.text("ab", max_size=2)),
    (datetime.datetime | None, st.none() | MOMENTS),
]


@st.composite
def typed(draw: st.DrawFn, depth: int = 2) -> tuple[Any, st.SearchStrategy[Any]]:
    """A type and values of it."""
    kind = draw(st.sampled_from(["scalar", "optional", "list", "dict", "set", "model"] if depth else ["scalar"]))
    if kind == "scalar":
        return draw(st.sampled_from(SCALARS))
    if kind == "set":
        annotation, values = draw(st.sampled_from(SCALARS))
        return set[annotation], st.sets(values, max_size=3)
    if kind == "model":
        model = draw(models(depth - 1))
        return model, instances(model)
    annotation, values = draw(typed(depth=depth - 1))
    if kind == "optional":
        return annotation | None, st.none() | values
    if kind == "list":
        return list[annotation], st.lists(values, max_size=3)
    keys, names = draw(st.sampled_from([(str, NAMES), (int, st.integers(0, 3)), (uuid.UUID, st.uuids())]))
    return dict[keys, annotation], st.dictionaries(names, values, max_size=2)


VALUES: dict[type[BaseModel], dict[str, st.SearchStrategy[Any]]] = {}


@st.composite
def models(draw: st.DrawFn, depth: int = 2) -> type[BaseModel]:
    fields = draw(st.dictionaries(NAMES, typed(depth=depth), min_size=1, max_size=3))
    described: dict[str, Any] = {}
    for name, (annotation, values) in fields.items():
        has_default = draw(st.booleans())
        described[name] = (annotation, draw(values) if has_default else ...)
    model = create_model("Model", **described)
    VALUES[model] = {name: values for name, (_, values) in fields.items()}
    return model


def instances(model: type[BaseModel]) -> st.SearchStrategy[BaseModel]:
    return st.fixed_dictionaries(VALUES[model]).map(lambda values: model(**values))


def with_unknown(draw: st.DrawFn, data: Any, shape: Shape) -> Any:
    """The same data with fields that no model knows, at every level."""
    if isinstance(data, dict):
        is_model = isinstance(fitting(shape, data), Fields)
        extra = draw(st.dictionaries(UNKNOWN, JSON, max_size=2)) if is_model else {}
        return {**{name: with_unknown(draw, value, part(shape, name)) for name, value in data.items()}, **extra}
    if isinstance(data, list):
        return [with_unknown(draw, value, part(shape, "0")) for value in data]
    return data


@st.composite
def documents(draw: st.DrawFn, model: type[BaseModel]) -> dict[str, Any]:
    """A stored document of a newer model, which has more fields."""
    stored = Binding(model, "c").encode(draw(instances(model)))[0]
    document: dict[str, Any] = with_unknown(draw, stored, shape_of(model).shape)
    return document


def is_document_of(model: type[BaseModel], data: Any) -> bool:
    try:
        Binding(model, "c").parse("ABCDEFGHIJKL", data)
    except ValidationError:
        return False
    return True


def paths_of(data: Any, path: str = "") -> list[str]:
    found = [path] if path else []
    for name, value in data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ():
        found += paths_of(value, f"{path}.{name}" if path else str(name))
    return [step for step in found if all(part and "$" not in part for part in step.split("."))]


@st.composite
def updates(draw: st.DrawFn, data: dict[str, Any]) -> dict[str, Any]:
    path = draw(st.sampled_from([*paths_of(data), "x", "a", "b.x", "c.0"]))
    values = JSON | st.sampled_from([data.get(name) for name in data] or [1])
    return draw(
        st.one_of(
            values.map(lambda value: {"$set": {path: value}}),
            st.just({"$unset": {path: ""}}),
            st.just({"$inc": {path: 1}}),
            st.just({"$rename": {path: "y"}}),
            values.map(lambda value: {"$push": {path: value}}),
            st.just({"$pop": {path: 1}}),
        )
    )


def apply(update: dict[str, Any], data: dict[str, Any], binding: Binding[Any] | None) -> dict[str, Any] | None:
    """The document after the update; None where it is refused."""
    try:
        change = update_change(parse_update(update), parse_filter({}), binding, upsert=False)
        assert change.replace is not None
        text = change.replace("ABCDEFGHIJKL", json.loads(json.dumps(data)))
    except (PoofError, ValidationError):
        return None
    return data if text is None else json.loads(text)


def without(data: Any, path: list[str]) -> Any:
    """What is outside of a path, as JSON text that shows the order of fields too."""
    if isinstance(data, dict) and path and path[0] in data:
        inner = {} if len(path) == 1 else {path[0]: without(data[path[0]], path[1:])}
        return {name: inner.get(name, "named") if name == path[0] else value for name, value in data.items()}
    if isinstance(data, list) and path and path[0].isdigit() and int(path[0]) < len(data):
        index = int(path[0])
        inner = "named" if len(path) == 1 else without(data[index], path[1:])
        return [*data[:index], inner, *data[index + 1 :]]
    return data


@settings(max_examples=60)
@given(st.data())
def test_a_bound_and_an_unbound_collection_agree_outside_of_what_an_update_names(data: st.DataObject) -> None:
    model = data.draw(models())
    document = data.draw(documents(model))
    update = data.draw(updates(document))
    plain, bound = apply(update, document, None), apply(update, document, Binding(model, "c"))
    if bound is None:
        return
    assert plain is not None
    assert is_document_of(model, bound)
    ((operator, fields),) = update.items()
    paths = [*fields, "y"] if operator == "$rename" else [*fields]
    for path in paths:
        plain, bound = without(plain, path.split(".")), without(bound, path.split("."))
    assert json.dumps(bound) == json.dumps(plain)


@settings(max_examples=60)
@given(st.data())
def test_what_an_instance_writes_reads_back(data: st.DataObject) -> None:
    model = data.draw(models())
    instance = data.draw(instances(model))
    encoded, text = Binding(model, "c").encode(instance)
    assert json.loads(text) == encoded
    read = Binding(model, "c").parse("ABCDEFGHIJKL", encoded)
    assert Binding(model, "c").encode(read) == (encoded, text)
    assert reads_equal(instance, read)


def unknown_of(data: Any, path: str = "") -> dict[str, Any]:
    """The fields that no model knows, by their paths through documents."""
    found: dict[str, Any] = {}
    for name, value in data.items() if isinstance(data, dict) else ():
        if name in ("x", "y"):
            found[f"{path}.{name}"] = value
        else:
            found |= unknown_of(value, f"{path}.{name}")
    return found


@settings(max_examples=60)
@given(st.data())
def test_an_instance_that_replaces_a_document_keeps_what_its_model_does_not_know(data: st.DataObject) -> None:
    model = data.draw(models())
    binding = Binding(model, "c")
    document = data.draw(documents(model))
    encoded, text = binding.encode(binding.parse("ABCDEFGHIJKL", document))
    kept = json.loads(binding.encode_replacement(encoded, text, document, "ABCDEFGHIJKL")[1])
    assert kept == document, "an instance as it was read changes nothing"
    other = data.draw(instances(model))
    encoded, text = binding.encode(other)
    kept = json.loads(binding.encode_replacement(encoded, text, document, "ABCDEFGHIJKL")[1])
    assert binding.parse("ABCDEFGHIJKL", kept) == binding.parse("ABCDEFGHIJKL", encoded)
    there = unknown_of(kept)
    for path, value in unknown_of(document).items():
        *within, _ = path.split(".")[1:]
        holder: Any = encoded
        for step in within:
            holder = holder.get(step) if isinstance(holder, dict) else None
        if isinstance(holder, dict):
            assert there[path] == value
