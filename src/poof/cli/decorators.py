"""Decorators that open a cluster or a collection for a command.

What opens a file is imported when a command runs, so that `--help` is quick.
"""

import contextlib
import inspect
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Concatenate, ParamSpec, get_args, get_origin

from poof.cli.options import CollectionArgument, DatabaseArgument, FileArgument, KeyFileOption, Parsed

if TYPE_CHECKING:
    from poof.cli.credentials import Secret
    from poof.cluster import PoofCluster
    from poof.collection import PoofCollection

P = ParamSpec("P")
Open = Callable[[Path, "Secret", dict[str, Any]], contextlib.AbstractAsyncContextManager[Any]]


def on_cluster(function: Callable[Concatenate["PoofCluster", P], Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Makes a command of a coroutine function on an open cluster. The command takes FILE and `--key-file` as well."""

    def open_(file: Path, secret: "Secret", _: Mapping[str, Any]) -> contextlib.AbstractAsyncContextManager[Any]:
        from poof.cli.session import opened

        return opened(file, secret)

    return _command(function, {"file": FileArgument}, open_)


def on_collection(
    function: Callable[Concatenate["PoofCollection", P], Coroutine[Any, Any, None]],
) -> Callable[..., None]:
    """Makes a command of a coroutine function on a collection that exists. The command takes its names as well."""

    def open_(file: Path, secret: "Secret", values: dict[str, Any]) -> contextlib.AbstractAsyncContextManager[Any]:
        from poof.cli.session import in_collection

        return in_collection(file, secret, values.pop("database"), values.pop("collection"))

    arguments = {"file": FileArgument, "database": DatabaseArgument, "collection": CollectionArgument}
    return _command(function, arguments, open_)


def _command(
    function: Callable[..., Coroutine[Any, Any, None]], arguments: Mapping[str, Any], open_: Open
) -> Callable[..., None]:
    """A function with the signature that Typer shall see: `arguments`, those of the function, and `--key-file`."""
    _, *own = inspect.signature(function).parameters.values()  # the first is what is opened
    parsers = {parameter.name: mark.parse for parameter in own if (mark := _mark(parameter.annotation)) is not None}

    def command(file: Path, key_file: Path | None, **values: Any) -> None:
        from poof.cli.session import run, unlock

        for name, parse in parsers.items():
            if values[name] is not None:
                values[name] = parse(values[name])
        secret = unlock(file, key_file)

        async def work() -> None:
            async with open_(file, secret, values) as target:
                await function(target, **values)

        run(work())

    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = [
        *(inspect.Parameter(name, kind, annotation=annotation) for name, annotation in arguments.items()),
        *(parameter.replace(annotation=_as_typed(parameter.annotation)) for parameter in own),
        inspect.Parameter("key_file", kind, default=None, annotation=KeyFileOption),
    ]
    command.__name__, command.__doc__ = function.__name__, function.__doc__
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined] # which `inspect` looks for
    return command


def _mark(annotation: Any) -> Parsed | None:
    marks = get_args(annotation)[1:] if get_origin(annotation) is Annotated else ()
    return next((mark for mark in marks if isinstance(mark, Parsed)), None)


def _as_typed(annotation: Any) -> Any:
    """The annotation of an argument as it is typed: that of one to be parsed is text."""
    if _mark(annotation) is None:
        return annotation
    parsed, *marks = get_args(annotation)
    return Annotated[str | None if type(None) in get_args(parsed) else str, *marks]
