"""The layers of the code: imports point one way, and every module and public name says what it is."""

import ast
import inspect
from pathlib import Path

import pytest
from pydantic import BaseModel

import poof

ROOT = Path(poof.__file__).parent
MODULES = sorted(ROOT.rglob("*.py"))

ORDER = (
    *("errors", "raising", "uncopyable", "results", "progress", "object_ids"),
    *("keys", "format", "encoding", "models", "document", "located", "given", "hints", "query", "indexed"),
    *("names", "system_errors", "paths", "new_files", "waiting", "engines", "bulk", "writes", "cursor"),
    *("drift", "transfer", "finding", "collection", "database"),
    *("credentials", "opening", "cluster", "cli", "__main__", "__init__"),
)
LAYERS = {name: set(ORDER[:position]) for position, name in enumerate(ORDER)}
"""What each layer may import, beside itself."""

PUBLIC = [value for name in poof.__all__ if isinstance(value := getattr(poof, name), type)]
PUBLIC_MEMBERS = [
    pytest.param(member, id=f"{cls.__name__}.{name}")
    for cls in PUBLIC
    for name, member in vars(cls).items()
    if not name.startswith("_") and (callable(member) or hasattr(member, "__get__")) and name not in vars(BaseModel)
]


def module_name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def layer(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    """Every module that a module imports, wherever in it, by its full name."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_imports_point_left_only(path):
    own = [name.split(".") for name in imported(path) if name.split(".")[0] == "poof"]
    assert {parts[1] for parts in own if len(parts) > 1} <= LAYERS[layer(path)] | {layer(path)}
    assert all(len(parts) > 1 for parts in own)


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_only_storage_imports_apsw(path):
    imports_apsw = any(name.split(".")[0] == "apsw" for name in imported(path))
    assert not imports_apsw or layer(path) == "storage"


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_a_module_says_what_it_is_and_names_its_layer(path):
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert text
    if path.name != "__init__.py":
        assert f"Layer: {'the first' if layer(path) == 'errors' else layer(path)}" in text


@pytest.mark.parametrize("path", [path for path in MODULES if layer(path) == "format"], ids=module_name)
def test_the_format_is_pure(path):
    assert not {name.split(".")[0] for name in imported(path)} & {"apsw", "sqlite3", "asyncio", "pathlib", "tempfile"}
    calls = {node.func.id for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)
             and isinstance(node.func, ast.Name)}  # fmt: skip
    assert "open" not in calls


@pytest.mark.parametrize("public", PUBLIC, ids=lambda cls: cls.__name__)
def test_a_public_class_has_a_docstring_of_its_own(public):
    assert public.__doc__
    assert inspect.getdoc(public) != inspect.getdoc(public.__mro__[1])


@pytest.mark.parametrize("member", PUBLIC_MEMBERS)
def test_a_public_method_or_property_has_a_docstring(member):
    assert inspect.getdoc(getattr(member, "__func__", member))


def test_all_public_names_are_sorted_and_come_from_poof():
    assert poof.__all__ == sorted(poof.__all__)
    assert all(public.__module__.startswith("poof.") for public in PUBLIC)


def test_every_error_of_the_tree_is_public():
    errors = {value for value in vars(poof.errors).values() if isinstance(value, type)}
    assert {cls for cls in errors if issubclass(cls, poof.PoofError)} == {
        cls for cls in PUBLIC if issubclass(cls, Exception)
    }
