"""The language of the shell: calls of the public API as in Python, without `await`, and nothing else of Python.

A line is parsed by `ast` and evaluated node by node: literals, collections, `F`, and the methods listed here. What is
not listed is refused, so a line that somebody pastes can do what the API can, and never run code.
"""

import ast
import inspect
import operator
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from poof.cli.failures import CommandError, ExitCode
from poof.cluster import PoofCluster
from poof.collection import PoofCollection
from poof.cursor import PoofCursor
from poof.database import PoofDatabase
from poof.errors import PoofError
from poof.query.filters.builder import Condition, F, FieldName, FieldNames

CLUSTER_METHODS = ("drop_database", "list_database_names", "save")
DATABASE_METHODS = ("drop_collection", "list_collection_names", "rename_collection")
WRITE_METHODS = (
    "create_index",
    "find_one_and_replace",
    "find_one_and_update",
    "insert",
    "insert_many",
    "replace_one",
    "update_many",
    "update_one",
)
"""Those that may be the first call of a collection, which creates it."""
COLLECTION_METHODS = tuple(
    sorted(
        (
            *WRITE_METHODS,
            "count_documents",
            "delete",
            "delete_many",
            "delete_one",
            "distinct",
            "drop",
            "drop_index",
            "estimated_document_count",
            "exists",
            "find",
            "find_all",
            "find_by_id",
            "find_one",
            "find_one_and_delete",
            "list_indexes",
            "rename",
            "update",
        )
    )
)
CURSOR_METHODS = ("count", "explain", "first", "limit", "skip", "sort", "to_list")
FIELD_METHODS = ("all_", "elem_match", "exists", "in_", "matches", "mod", "not_in", "size", "type")

_METHODS: tuple[tuple[type, tuple[str, ...]], ...] = (
    (PoofCluster, CLUSTER_METHODS),
    (PoofDatabase, DATABASE_METHODS),
    (PoofCollection, COLLECTION_METHODS),
    (PoofCursor, CURSOR_METHODS),
    (FieldName, FIELD_METHODS),
)
VALUES: Mapping[str, Any] = {"F": F, "UTC": UTC, "true": True, "false": False, "null": None}
"""What names stand for; those of JSON too, so that JSON can be pasted."""
TYPES: Mapping[str, Callable[..., Any]] = {"date": date, "datetime": datetime, "timedelta": timedelta}
NAMES = ("cluster", "db")

_COMPARISONS: Mapping[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


@dataclass(frozen=True)
class _Reference:
    """A collection that a line names, and that may not be there yet."""

    name: str


class _Database:
    """The database in use, which may not be there yet."""


class Evaluator:
    """Evaluates lines on a cluster, in the database that is in use."""

    def __init__(self, cluster: PoofCluster, database: str | None = None) -> None:
        self.cluster = cluster
        self.database = database

    async def evaluate(self, line: str) -> Any:
        """What a line gives.

        Raises:
            CommandError: it is not of the language, about what is not there, or a call with the wrong arguments.
            PoofError: what the call raises.
        """
        try:
            with warnings.catch_warnings(action="ignore"):
                tree = ast.parse(line.strip(), mode="eval")
            result = await self._value(tree.body)
        except SyntaxError as error:
            raise _refused(f"not understood: {error.msg}") from None
        except (RecursionError, MemoryError):
            raise _refused("nested too deep") from None
        except PoofError:
            raise
        except (TypeError, ValueError, OverflowError) as error:  # of the wrong arguments, as Python names them
            raise CommandError(str(error), ExitCode.USAGE) from None
        if isinstance(result, _Reference | _Database | FieldName | FieldNames | PoofCluster):
            raise _refused("call a method of it, as users.find()")
        return result

    async def _value(self, node: ast.expr) -> Any:
        match node:
            case ast.Constant(value):
                return value
            case ast.List(items) | ast.Tuple(items):
                return [await self._value(item) for item in items]
            case ast.Dict(keys, values):
                return await self._dict(keys, values)
            case ast.Name(name):
                return self._name(name)
            case ast.Attribute(value, name):
                return _attribute(await self._value(value), name)
            case ast.Subscript(value, index):
                return _item(await self._value(value), await self._value(index))
            case ast.Call():
                return await self._call(node)
            case ast.UnaryOp(ast.USub(), ast.Constant(int() | float() as number)):
                return -number
            case ast.UnaryOp(ast.Invert(), operand):
                return ~_condition(await self._value(operand))
            case ast.BinOp(left, ast.BitAnd(), right):
                return _condition(await self._value(left)) & _condition(await self._value(right))
            case ast.BinOp(left, ast.BitOr(), right):
                return _condition(await self._value(left)) | _condition(await self._value(right))
            case ast.Compare(left, [sign], [right]) if type(sign) in _COMPARISONS:
                return _compared(type(sign), await self._value(left), await self._value(right))
        raise _refused("this is more of Python than the shell knows")

    async def _dict(self, keys: list[ast.expr | None], values: list[ast.expr]) -> dict[Any, Any]:
        pairs = {}
        for key, value in zip(keys, values, strict=True):
            name = None if key is None else await self._value(key)
            if not isinstance(name, str):
                raise _refused("the names of a document are text, in quotes")
            pairs[name] = await self._value(value)
        return pairs

    def _name(self, name: str) -> Any:
        if name in VALUES:
            return VALUES[name]
        if name == "cluster":
            return self.cluster
        return _Database() if name == "db" else _Reference(name)

    async def _call(self, node: ast.Call) -> Any:
        args = [await self._value(arg) for arg in node.args]
        options = {word.arg: await self._value(word.value) for word in node.keywords if word.arg is not None}
        if len(options) != len(node.keywords):
            raise _refused("** is more of Python than the shell knows")
        match node.func:
            case ast.Name(name) if name in TYPES:
                return TYPES[name](*args, **options)
            case ast.Attribute(value, name):
                return await self._call_method(await self._value(value), name, args, options)
        raise _refused("only methods of collections, cursors, db and cluster can be called")

    async def _call_method(self, target: Any, name: str, args: list[Any], options: dict[str, Any]) -> Any:
        if isinstance(target, _Reference) and name in WRITE_METHODS and not await self._is_there(target):
            async with self.cluster.transaction():  # or the collection would stay where the call fails
                database = await self.cluster.get_database(self._in_use())
                return await _made(await database.get_collection(target.name), name, args, options)
        if isinstance(target, _Reference):
            _check(name, COLLECTION_METHODS)
            if not await self._is_there(target):
                raise CommandError(f"There is no collection {target.name!r} in {self._in_use()!r}.", ExitCode.NOT_FOUND)
            database = await self.cluster.get_database(self._in_use())
            target = await database.get_collection(target.name)
        elif isinstance(target, _Database):
            _check(name, DATABASE_METHODS)
            target = await self._open_database()
        return await _made(target, name, args, options)

    async def _is_there(self, collection: _Reference) -> bool:
        if self._in_use() not in await self.cluster.list_database_names():
            return False
        database = await self.cluster.get_database(self._in_use())
        return collection.name in await database.list_collection_names()

    async def _open_database(self) -> PoofDatabase:
        name = self._in_use()
        if name not in await self.cluster.list_database_names():
            raise CommandError(f"There is no database {name!r} yet.", ExitCode.NOT_FOUND)
        return await self.cluster.get_database(name)

    def _in_use(self) -> str:
        if self.database is None:
            raise CommandError("No database is in use. Choose one with: use NAME", ExitCode.NOT_FOUND)
        return self.database


async def _made(target: Any, name: str, args: list[Any], options: dict[str, Any]) -> Any:
    methods = next((names for kind, names in _METHODS if isinstance(target, kind)), None)
    if methods is None:
        raise _refused(f".{name}() is called on what has no methods here")
    _check(name, methods)
    result = getattr(target, name)(*args, **options)
    return await result if inspect.isawaitable(result) else result


def _check(name: str, methods: tuple[str, ...]) -> None:
    if name not in methods:
        raise _refused(f"there is no method {name}; there are {', '.join(methods)}")


def _attribute(target: Any, name: str) -> Any:
    if isinstance(target, FieldNames | FieldName):
        return target[name]
    if isinstance(target, _Database):
        return _Reference(name)
    raise _refused(f".{name} is not known; methods are called with parentheses")


def _item(target: Any, index: Any) -> Any:
    if isinstance(target, FieldNames | FieldName):
        return target[index]
    if isinstance(target, _Database) and isinstance(index, str):
        return _Reference(index)
    raise _refused("brackets follow F, a field of it, or db")


def _compared(sign: type[ast.cmpop], left: Any, right: Any) -> Any:
    if not isinstance(left, FieldName) and not isinstance(right, FieldName):
        raise _refused("a comparison is about a field, as F.age >= 18 is")
    return _COMPARISONS[sign](left, right)


def _condition(value: Any) -> Condition:
    if not isinstance(value, Condition):
        raise _refused("&, | and ~ combine conditions, as (F.age > 18) & (F.city == 'Paris') does")
    return value


def _refused(reason: str) -> CommandError:
    return CommandError(f"{reason[0].upper()}{reason[1:]}.", ExitCode.USAGE)
