"""What MkDocs does with the documents beyond its own: links, and the pages that lie outside of `docs/`.

In the documents, links are those that work where the repository is read: to files, also outside of `docs/`. Here they
become links to the pages of these files, or plain text where the site has none.
"""

import ast
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from griffe import Attribute, Class, Docstring, ExprName, Extension, Function, GriffeLoader, Module, Object
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent
PAGES = {
    "README.md": "index.md",  # which says the same, at more length
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "reporting.md",
    **{f"examples/{path.name}": f"examples/{path.stem}.md" for path in sorted((ROOT / "examples").glob("*.py"))},
}
"""Files outside of `docs/`, and their pages."""

LINK = re.compile(r"(?<!!)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)#\s:]+)(#[^)\s]*)?\)")
FENCE = re.compile(r"^(```.*?^```)", re.MULTILINE | re.DOTALL)
DOCTEST = re.compile(r"^>>> .*\n(?:^(?!\s*$).*\n?)*", re.MULTILINE)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages of the files outside of `docs/`."""
    for source, page in PAGES.items():
        if page != "index.md":
            text = (ROOT / source).read_text()
            content = example(source, text) if source.endswith(".py") else text
            files.append(File.generated(config, page, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turns links between files of the repository into links between pages of the site."""
    here = page.file.src_uri
    sources = {target: source for source, target in PAGES.items() if target != "index.md"}
    source = sources.get(here, f"docs/{here}")

    def relink(link: re.Match[str]) -> str:
        text, target, anchor = link[1], link[2], link[3] or ""
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        uri = PAGES.get(path, path.removeprefix("docs/") if path.startswith("docs/") else None)
        if uri is None:
            return text  # the site has no page of it
        return f"[{text}]({posixpath.relpath(uri, posixpath.dirname(here) or '.')}{anchor})"

    return "".join(part if part.startswith("```") else LINK.sub(relink, part) for part in FENCE.split(markdown))


def example(name: str, code: str) -> str:
    """The page of an example: what its docstring says first, and all of its code."""
    title = (ast.get_docstring(ast.parse(code)) or "").splitlines()[0]
    return f"---\nhide: [toc]\n---\n\n# {Path(name).name}\n\n{title}\n\n```python\n{code}```\n"


class Reference(Extension):
    """What the reference shows beyond the code: examples as blocks of code, and defaults by their values."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Makes blocks of code of doctest lines, which Markdown takes for quotations of quotations."""
        if isinstance(obj.docstring, Docstring):
            obj.docstring.value = DOCTEST.sub(as_block, obj.docstring.value + "\n").rstrip()

    def on_package(self, *, pkg: Module, loader: GriffeLoader, **_: Any) -> None:
        """Puts the value of a constant in the place of its name, where it is the default of a parameter."""
        for function in functions(pkg):
            for parameter in function.parameters:
                default = parameter.default
                if isinstance(default, ExprName) and default.canonical_path.startswith(f"{pkg.name}."):
                    constant = loader.modules_collection[default.canonical_path]
                    if isinstance(constant, Attribute):
                        parameter.default = constant.value


def functions(of: Module | Class) -> Iterator[Function]:
    """All functions and methods in a module or class, but for those that are only imported there."""
    for member in of.members.values():
        if isinstance(member, Function):
            yield member
        elif isinstance(member, Module | Class):
            yield from functions(member)


def as_block(found: re.Match[str]) -> str:
    """A block of Python; or of a Python session, where it shows what comes out."""
    lines = found[0].splitlines()
    if all(line.startswith((">>> ", "...")) for line in lines):
        return "```python\n" + "".join(f"{line[4:]}\n" for line in lines) + "```\n"
    return "```pycon\n" + "".join(f"{line}\n" for line in lines) + "```\n"
