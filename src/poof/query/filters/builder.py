"""Filters written as Python: `F.age >= 18` is `{"age": {"$gte": 18}}`.

Pure.

A condition is a plain filter, a dict that goes wherever a filter goes. Nothing is checked here: `parse` checks every
filter. A value is always wrapped in an operator, so that a dict which came from outside is compared with, and never
taken for operators.
"""

import functools
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, Concatenate, Final, Generic, NoReturn, ParamSpec, TypeVar, cast

from poof.query.paths import FieldReference

P = ParamSpec("P")
T = TypeVar("T")


class Condition(dict[str, Any]):
    """A filter that `&`, `|` and `~` combine.

    >>> (F.age >= 18) & ~(F.city == "Paris")
    {'$and': [{'age': {'$gte': 18}}, {'$nor': [{'city': {'$eq': 'Paris'}}]}]}
    """

    __slots__ = ()

    def __and__(self, other: Mapping[str, Any]) -> "Condition":
        return _combine("$and", self, other)

    def __rand__(self, other: Mapping[str, Any]) -> "Condition":
        return _combine("$and", other, self)

    def __or__(self, other: Mapping[str, Any]) -> "Condition":  # type: ignore[override] # a dict's `|` is another
        return _combine("$or", self, other)

    def __ror__(self, other: Mapping[str, Any]) -> "Condition":  # type: ignore[override] # as above
        return _combine("$or", other, self)

    def __ior__(self, other: Mapping[str, Any]) -> "Condition":  # type: ignore[override] # as above
        return _combine("$or", self, other)

    def __invert__(self) -> "Condition":
        return Condition({"$nor": [self]})

    def __bool__(self) -> bool:
        raise TypeError(
            "A condition is neither true nor false. Combine conditions with &, | and ~, each in parentheses, not with "
            "and, or, not or a chain like 1 < F.a < 5: write (F.a > 1) & (F.a < 5)."
        )


def _combine(operator: str, left: Mapping[str, Any], right: Mapping[str, Any]) -> Condition:
    """Both in one list, so that a long chain of conditions does not become a deep one."""
    filters: list[Mapping[str, Any]] = []
    for side in (left, right):
        if not isinstance(side, Mapping):
            return NotImplemented
        filters.extend(side[operator] if isinstance(side, Condition) and side.keys() == {operator} else [side])
    return Condition({operator: filters})


class Method(FieldReference, Generic[P, T]):
    """A method of a field, until it is called. A field of its name is inside brackets."""

    __slots__ = ("_field", "_function")

    def __init__(self, field: "FieldName", function: Callable[..., T]) -> None:
        self._field = field
        self._function = function

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._function(self._field, *args, **kwargs)

    def __repr__(self) -> str:
        return f"F[{str(self._field)!r}].{self._function.__name__}"

    def _refuse(self, *_: object) -> NoReturn:
        name = self._function.__name__
        raise TypeError(f"{self!r} is a method. For a field of this name, write F[{f'{self._field}.{name}'!r}].")

    __eq__ = __ne__ = __gt__ = __ge__ = __lt__ = __le__ = __and__ = __rand__ = __or__ = __ror__ = _refuse
    __getitem__ = __bool__ = __invert__ = __iter__ = __hash__ = _refuse

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        self._refuse()

    def __fieldpath__(self) -> NoReturn:
        """Says that it is no field, where it stands for one."""
        self._refuse()


class _method(Generic[P, T]):  # noqa: N801 - a decorator
    """A method that tells where it is taken for a field."""

    def __init__(self, function: "Callable[Concatenate[FieldName, P], T]") -> None:
        self._function = function
        functools.update_wrapper(cast(Any, self), function)

    def __get__(self, field: "FieldName | None", owner: object) -> Method[P, T]:
        return cast(Any, self) if field is None else Method(field, self._function)


class FieldName(FieldReference):
    """A field of a document, which comparisons and methods make conditions of; made by `F`.

    It also is the name itself, wherever a field is named: `{"$inc": {F.age: 1}}`, `sort(F.age)`, `distinct(F.age)`.

    A name that is also a method here, or no name in Python, is written in brackets: `F.pet["size"]`.
    """

    __slots__ = ("__name",)  # mangled, so that it is in no field's way

    def __init__(self, name: str) -> None:
        self.__name = name

    def __str__(self) -> str:
        return self.__name

    def __getattr__(self, name: str) -> "FieldName":
        return self[_attribute(name)]

    def __getitem__(self, step: str | int) -> "FieldName":
        return FieldName(f"{self.__name}.{_step(step)}")

    def __repr__(self) -> str:
        return f"F[{self.__name!r}]"

    def __fieldpath__(self) -> str:
        return self.__name

    def __eq__(self, value: object) -> Condition:  # type: ignore[override] # a condition, to be answered later
        if isinstance(value, FieldName):  # as the keys of a dict are compared; no document holds one
            return cast(Condition, self.__name == value.__name)
        return self.__condition("$eq", value)

    def __ne__(self, value: object) -> Condition:  # type: ignore[override] # as above
        if isinstance(value, FieldName):
            return cast(Condition, self.__name != value.__name)
        return self.__condition("$ne", value)

    def __hash__(self) -> int:
        return hash((FieldName, self.__name))  # never that of the text, with which it would be compared

    def __gt__(self, value: Any) -> Condition:
        return self.__condition("$gt", value)

    def __ge__(self, value: Any) -> Condition:
        return self.__condition("$gte", value)

    def __lt__(self, value: Any) -> Condition:
        return self.__condition("$lt", value)

    def __le__(self, value: Any) -> Condition:
        return self.__condition("$lte", value)

    def __bool__(self) -> bool:
        raise TypeError(
            f"{self!r} is neither true nor false; use {self!r}.exists() or {self!r} == True. Conditions are combined "
            "with &, | and ~, not with and, or, not."
        )

    def __and__(self, other: object) -> NoReturn:
        raise self.__unjoined("&")

    def __or__(self, other: object) -> NoReturn:
        raise self.__unjoined("|")

    __rand__, __ror__ = __and__, __or__

    def __invert__(self) -> NoReturn:
        raise TypeError(f"{self!r} is a field, not a condition. For one that is not true, write {self!r} != True.")

    def __iter__(self) -> NoReturn:
        raise TypeError(f"{self!r} is a name, and has nothing to iterate over.")

    def __contains__(self, value: object) -> NoReturn:
        raise TypeError(f"To find arrays that hold a value, write {self!r} == value, not value in {self!r}.")

    @_method
    def in_(self, values: Collection[Any]) -> Condition:
        """It is one of these values, or text in which one of these patterns is found."""
        return self.__condition("$in", values)

    @_method
    def not_in(self, values: Collection[Any]) -> Condition:
        """It is none of these; a missing field is none of them."""
        return self.__condition("$nin", values)

    @_method
    def all_(self, values: Collection[Any]) -> Condition:
        """It is an array that holds all of these."""
        return self.__condition("$all", values)

    @_method
    def exists(self, exists: bool = True) -> Condition:
        """The field is there, even if it is null; or is not there."""
        return self.__condition("$exists", exists)

    @_method
    def type(self, types: str | int | Collection[str | int]) -> Condition:
        """It is of this type, or of one of these: `"string"`, `"number"`, `"array"`, ..."""
        return self.__condition("$type", types)

    @_method
    def size(self, size: int) -> Condition:
        """It is an array of so many elements."""
        return self.__condition("$size", size)

    @_method
    def mod(self, divisor: int, remainder: int) -> Condition:
        """It is a number that leaves this remainder."""
        return self.__condition("$mod", [divisor, remainder])

    @_method
    def matches(self, pattern: str | re.Pattern[str], options: str | None = None) -> Condition:
        """It is text in which the pattern is found; the options are letters of `imsx`."""
        regex = {"$regex": pattern} if options is None else {"$regex": pattern, "$options": options}
        return Condition({self.__name: regex})

    @_method
    def elem_match(self, condition: Mapping[str, Any]) -> Condition:
        """It is an array with one element that matches a filter on its fields, or operators on itself.

        >>> F.lines.elem_match(F.price > 5)
        {'lines': {'$elemMatch': {'price': {'$gt': 5}}}}
        >>> F.scores.elem_match({"$gt": 5, "$lt": 8})
        {'scores': {'$elemMatch': {'$gt': 5, '$lt': 8}}}
        """
        return self.__condition("$elemMatch", condition)

    @_method
    def contains(self, text: str) -> Condition:
        """It is text that contains this one, or an array with such a text."""
        return self.__pattern(text, "{}")

    @_method
    def icontains(self, text: str) -> Condition:
        """As `contains`, whether letters are small or capital."""
        return self.__pattern(text, "{}", "i")

    @_method
    def startswith(self, text: str) -> Condition:
        """It is text that begins with this one, or an array with such a text."""
        return self.__pattern(text, r"\A{}")

    @_method
    def endswith(self, text: str) -> Condition:
        """It is text that ends with this one, or an array with such a text."""
        return self.__pattern(text, r"{}\Z")

    @_method
    def is_null(self, is_null: bool = True) -> Condition:
        """It is null or missing; or neither."""
        return self.__condition("$eq" if is_null else "$ne", None)

    def __pattern(self, text: str, form: str, options: str | None = None) -> Condition:
        if not isinstance(text, str):
            raise TypeError(f"{self!r} is searched for text, not {type(text).__name__}. For patterns, use matches().")
        regex = {"$regex": form.replace("{}", re.escape(text))}
        return Condition({self.__name: regex if options is None else {**regex, "$options": options}})

    def __condition(self, operator: str, operand: Any) -> Condition:
        return Condition({self.__name: {operator: operand}})

    def __unjoined(self, sign: str) -> TypeError:
        return TypeError(
            f"{sign} joins conditions, and {self!r} is a field. It binds more tightly than comparisons: put each "
            f"comparison in parentheses, as (F.a > 1) {sign} (F.b == 2)."
        )


class FieldNames:
    """Where the names of fields begin: `F.age`, `F.address.city`, `F["odd key"]`, `F.tags[0]`."""

    __slots__ = ()

    def __getattr__(self, name: str) -> FieldName:
        return self[_attribute(name)]

    def __getitem__(self, name: str) -> FieldName:
        return FieldName(str(_step(name)))

    def __iter__(self) -> NoReturn:
        raise TypeError("F holds every name, and cannot be iterated over.")

    def __contains__(self, name: object) -> NoReturn:
        raise TypeError("F holds every name; to find documents with a field, write F.name.exists().")

    def __repr__(self) -> str:
        return "F"

    def __reduce__(self) -> str:
        return "F"  # a copy is the same object


def _attribute(name: str) -> str:
    """The name of a field, unless Python asks for a protocol: `copy`, `pickle` and others look for `__names__`."""
    if name.startswith("__") and name.endswith("__"):
        raise AttributeError(f"{name} is no field here; for a field of this name, write F[{name!r}].")
    return name


def _step(step: str | int) -> str | int:
    if isinstance(step, str) or (type(step) is int and step >= 0):
        return step
    raise TypeError("A field is named by text, and an element of an array by its index, which is 0 or more.")


F: Final = FieldNames()
"""`F.age >= 18` is the filter `{"age": {"$gte": 18}}`."""
