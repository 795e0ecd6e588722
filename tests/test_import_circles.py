"""No module imports itself by way of others, wherever the import stands: also in a function, or for types alone."""

import ast
from pathlib import Path

import poof

ROOT = Path(poof.__file__).parent
KNOWN = [("poof.maintenance", "poof.collection")]
"""The last circle, which ends with `maintenance`. Nothing is ever added here."""


def name_of(path: Path) -> str:
    parts = ("poof", *path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def read_imports() -> dict[str, set[str]]:
    """For each module, the modules of PoofDB that it imports anywhere in its text."""
    modules = {name_of(path): path for path in ROOT.rglob("*.py")}
    found: dict[str, set[str]] = {}
    for name, path in modules.items():
        imported = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported |= {f"{node.module}.{alias.name}" for alias in node.names} | {str(node.module)}
        found[name] = {other for other in imported if other in modules and other not in name.split(".")[:1]} - {name}
    return found


def in_circles(imports: dict[str, set[str]]) -> set[str]:
    """The modules that import each other, and those between two circles."""
    left = {name: set(others) for name, others in imports.items()}
    while True:
        ends = {name for name, others in left.items() if not others & left.keys()}
        ends |= left.keys() - {other for others in left.values() for other in others}
        if not ends:
            return set(left)
        left = {name: others - ends for name, others in left.items() if name not in ends}


def test_no_module_imports_itself_by_way_of_others():
    imports = read_imports()
    for module, imported in KNOWN:
        imports[module].discard(imported)
    assert in_circles(imports) == set()


def test_a_circle_is_found_and_what_only_leads_to_it_is_not_blamed():
    imports = {"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set()}
    assert in_circles(imports) == {"b", "c"}
