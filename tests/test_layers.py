"""The floors of the house: imports point down only, no circle anywhere, and only one folder knows SQLite."""

import ast
import inspect
from functools import cache
from pathlib import Path

import pytest
from pydantic import BaseModel

import poof

ROOT = Path(poof.__file__).parent
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(ROOT.rglob("*.py"))
}
FLOORS = (
    ("errors", "results", "object_ids"),
    ("raising", "uncopyable", "progress"),
    ("names", "system_errors", "paths"),
    ("waiting", "new_files", "keys"),
    ("format", "encoding"),
    ("models", "query.nodes"),
    ("document", "located", "query.paths"),
    ("given", "query.known", "query.order", "query.collisions"),
    ("query.fields", "query.operands"),
    ("query.key_rows", "query.typed"),
    ("query.filters", "query.query"),
    ("query.updates", "query.indexes", "query.projection", "query.distinct"),
    ("query.model_projection",),
    ("engines.contract", "engines.scratch", "indexed"),
    ("engines.sqlite.tuning", "engines.sqlite.sqlite_errors"),
    ("engines.sqlite.pages",),
    ("engines.sqlite.tables",),
    ("engines.sqlite.file",),
    ("engines.sqlite.turns",),
    ("engines.sqlite.exchange",),
    ("engines.sqlite.opening",),
    ("engines.sqlite.calls",),
    ("engines.sqlite.care", "engines.sqlite.documents", "engines.sqlite.expiry"),
    ("engines.sqlite.engine",),
    ("engines.sqlite.start",),
    ("engines.choice",),
    ("hints", "writes", "cursor", "bulk", "drift", "transfer", "credentials"),
    ("finding", "opening"),
    ("collection",),
    ("database",),
    ("cluster",),
    ("cli",),
    ("__main__",),
)
"""From the ground up; a folder stands for what is in it, unless that is named itself. Rooms of one floor do not see
each other."""
PACKAGES = {module for module, path in MODULES.items() if path.name == "__init__.py"}
"""Whose own files hold nothing but a docstring; that of `poof` itself, the public names."""
MOST_LINES, MOST_MODULES = 500, 24

PUBLIC = [value for name in poof.__all__ if isinstance(value := getattr(poof, name), type)]
PUBLIC_MEMBERS = [
    (f"{cls.__name__}.{name}", member)
    for cls in PUBLIC
    for name, member in vars(cls).items()
    if not name.startswith("_") and (callable(member) or hasattr(member, "__get__")) and name not in vars(BaseModel)
]


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text(encoding="utf-8"))


@cache
def imported(module: str) -> frozenset[str]:
    """Every module that a module imports, wherever in it, also for types alone."""
    names = set()
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} has a relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(names)


@cache
def imported_rooms(module: str) -> frozenset[str]:
    """The modules of ours that a module imports."""
    found = set()
    for name in imported(module):
        if name.startswith("poof."):
            room = name.removeprefix("poof.")
            found.add(room if room in MODULES else room.rpartition(".")[0])
    return frozenset(found - {module, ""})


def floor(module: str) -> tuple[int, str]:
    """The floor of a module, and the room of it: the longest name that stands for it."""
    rooms = [(len(room), number, room) for number, rooms in enumerate(FLOORS) for room in rooms
             if module == room or module.startswith(f"{room}.")]  # fmt: skip
    assert rooms, f"{module} is on no floor: say where it belongs, in FLOORS"
    _, number, room = max(rooms)
    return number, room


def test_a_folder_itself_holds_nothing():
    assert not {module for module in PACKAGES - {"__init__"} if imported(module)}


def test_imports_point_down_only():
    up = []
    for module in MODULES:
        if module in PACKAGES:
            continue
        here, room = floor(module)
        for other in imported_rooms(module):
            if other in PACKAGES:
                continue
            there, other_room = floor(other)
            if there > here or (there == here and room != other_room):
                up.append(f"{module} > {other}")
    assert not up


def test_there_is_no_circle_of_imports_also_not_for_types_alone():
    done: set[str] = set()

    def visit(module: str, way: tuple[str, ...]) -> None:
        assert module not in way, " > ".join((*way[way.index(module) :], module))
        if module not in done:
            for other in imported_rooms(module) - PACKAGES:
                visit(other, (*way, module))
            done.add(module)

    for module in MODULES:
        if module not in PACKAGES:
            visit(module, ())


def test_only_the_engine_of_a_file_knows_sqlite():
    assert not [
        module
        for module in MODULES
        if not module.startswith("engines.sqlite.") and any(name.split(".")[0] == "apsw" for name in imported(module))
    ]


def test_the_api_knows_no_engine_but_the_contract():
    above = FLOORS.index(("engines.choice",))
    knows = {
        f"{module} > {other}"
        for module in MODULES
        if module not in PACKAGES and floor(module)[0] > above and floor(module)[1] != "cli"
        for other in imported_rooms(module)
        if other.startswith("engines.") and other not in ("engines.contract", "engines.choice")
    }
    assert not knows
    choosing = {module for module in MODULES if "engines.choice" in imported_rooms(module)}
    assert choosing <= {"opening", "credentials", "cluster", *(name for name in MODULES if name.startswith("cli."))}


def test_nobody_above_asks_which_engine_it_has():
    """Not by its class, nor by what it has; and nobody reaches into one."""
    above = FLOORS.index(("engines.choice",))
    asks = []
    for module in MODULES:
        if module in PACKAGES or floor(module)[0] <= above:
            continue
        for node in ast.walk(tree(module)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args:
                if node.func.id in ("isinstance", "issubclass", "type", "hasattr", "getattr", "vars", "cast"):
                    asks += [f"{module}: {ast.unparse(node)}" for part in node.args if is_of_an_engine(part)]
            elif isinstance(node, ast.Attribute) and is_private(node.attr) and is_of_an_engine(node.value):
                asks.append(f"{module}: {ast.unparse(node)}")
    assert not asks


def is_private(name: str) -> bool:
    return name.startswith("_") and name not in ("__aenter__", "__aexit__")


def is_of_an_engine(node: ast.AST) -> bool:
    """Whether an expression is called as engines, and what they give, are called above."""
    names = ("engine", "documents", "transaction", "snapshot")
    match node:
        case ast.Name(name) | ast.Attribute(attr=name):
            return name.lstrip("_") in names
    return False


def test_every_module_says_what_it_is():
    assert not [module for module in MODULES if not ast.get_docstring(tree(module))]


def test_files_are_short_and_folders_are_small():
    assert not {module for module, path in MODULES.items() if len(path.read_text().splitlines()) > MOST_LINES}
    folders = {path.parent for path in MODULES.values()} - {ROOT}
    assert not {folder for folder in folders if len(list(folder.glob("*.py"))) > MOST_MODULES}


def test_the_format_and_the_language_are_pure():
    for module in MODULES:
        if module.split(".")[0] in ("format", "query", "models", "encoding"):
            outside = {"apsw", "sqlite3", "asyncio", "tempfile"}
            assert not {name.split(".")[0] for name in imported(module)} & outside, module
            calls = {node.func.id for node in ast.walk(tree(module)) if isinstance(node, ast.Call)
                     and isinstance(node.func, ast.Name)}  # fmt: skip
            assert "open" not in calls, module


@pytest.mark.parametrize("public", PUBLIC, ids=lambda cls: cls.__name__)
def test_a_public_class_has_a_docstring_of_its_own(public):
    assert public.__doc__
    assert inspect.getdoc(public) != inspect.getdoc(public.__mro__[1])


def test_a_public_method_or_property_has_a_docstring():
    assert not [name for name, member in PUBLIC_MEMBERS if not inspect.getdoc(getattr(member, "__func__", member))]


def test_all_public_names_are_sorted_and_come_from_poof():
    assert poof.__all__ == sorted(poof.__all__)
    assert all(public.__module__.startswith("poof.") for public in PUBLIC)


def test_every_error_of_the_tree_is_public():
    errors = {value for value in vars(poof.errors).values() if isinstance(value, type)}
    assert {cls for cls in errors if issubclass(cls, poof.PoofError)} == {
        cls for cls in PUBLIC if issubclass(cls, Exception)
    }
