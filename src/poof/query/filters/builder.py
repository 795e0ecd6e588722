"""Filters written as Python: `F.age >= 18` is `{"age": {"$gte": 18}}`.

Pure.

A condition is a plain filter, a dict that goes wherever a filter goes. Nothing is checked here: `parse` checks every
filter. A value is always wrapped in an operator, so that a dict which came from outside is compared with, and never
taken for operators.
"""

import re
from collections.abc import Collection, Mapping
from typing import Any, Final, NoReturn


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


class FieldName:
    """A field of a document, which comparisons and methods make conditions of; made by `F`.

    A name that is also a method here, or no name in Python, is written in brackets: `F.pet["size"]`.
    """

    __slots__ = ("__name",)  # mangled, so that it is in no field's way

    def __init__(self, name: str) -> None:
        self.__name = name

    def __getattr__(self, name: str) -> "FieldName":
        return self[_attribute(name)]

    def __getitem__(self, step: str | int) -> "FieldName":
        return FieldName(f"{self.__name}.{_step(step)}")

    def __repr__(self) -> str:
        return f"F[{self.__name!r}]"

    def __eq__(self, value: object) -> Condition:  # type: ignore[override] # a condition, to be answered later
        return self.__condition("$eq", value)

    def __ne__(self, value: object) -> Condition:  # type: ignore[override] # as above
        return self.__condition("$ne", value)

    __hash__ = None  # type: ignore[assignment] # what has no true equality has no hash

    def __gt__(self, value: Any) -> Condition:
        return self.__condition("$gt", value)

    def __ge__(self, value: Any) -> Condition:
        return self.__condition("$gte", value)

    def __lt__(self, value: Any) -> Condition:
        return self.__condition("$lt", value)

    def __le__(self, value: Any) -> Condition:
        return self.__condition("$lte", value)

    def __bool__(self) -> bool:
        raise TypeError(f"{self!r} is neither true nor false; use {self!r}.exists() or {self!r} == True.")

    def __iter__(self) -> NoReturn:
        raise TypeError(f"{self!r} is a name, and has nothing to iterate over.")

    def __contains__(self, value: object) -> NoReturn:
        raise TypeError(f"To find arrays that hold a value, write {self!r} == value, not value in {self!r}.")

    def in_(self, values: Collection[Any]) -> Condition:
        """It is one of these values, or text in which one of these patterns is found."""
        return self.__condition("$in", values)

    def not_in(self, values: Collection[Any]) -> Condition:
        """It is none of these; a missing field is none of them."""
        return self.__condition("$nin", values)

    def all_(self, values: Collection[Any]) -> Condition:
        """It is an array that holds all of these."""
        return self.__condition("$all", values)

    def exists(self, exists: bool = True) -> Condition:
        """The field is there, even if it is null; or is not there."""
        return self.__condition("$exists", exists)

    def type(self, types: str | int | Collection[str | int]) -> Condition:
        """It is of this type, or of one of these: `"string"`, `"number"`, `"array"`, ..."""
        return self.__condition("$type", types)

    def size(self, size: int) -> Condition:
        """It is an array of so many elements."""
        return self.__condition("$size", size)

    def mod(self, divisor: int, remainder: int) -> Condition:
        """It is a number that leaves this remainder."""
        return self.__condition("$mod", [divisor, remainder])

    def matches(self, pattern: str | re.Pattern[str], options: str | None = None) -> Condition:
        """It is text in which the pattern is found; the options are letters of `imsx`."""
        regex = {"$regex": pattern} if options is None else {"$regex": pattern, "$options": options}
        return Condition({self.__name: regex})

    def elem_match(self, condition: Mapping[str, Any]) -> Condition:
        """It is an array with one element that matches a filter on its fields, or operators on itself.

        >>> F.lines.elem_match(F.price > 5)
        {'lines': {'$elemMatch': {'price': {'$gt': 5}}}}
        >>> F.scores.elem_match({"$gt": 5, "$lt": 8})
        {'scores': {'$elemMatch': {'$gt': 5, '$lt': 8}}}
        """
        return self.__condition("$elemMatch", condition)

    def __condition(self, operator: str, operand: Any) -> Condition:
        return Condition({self.__name: {operator: operand}})


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
