"""The commands of the day, each in an environment of its own. CONTRIBUTING.md says when to use which.

`nox -s tests`; `nox -l` lists all.
"""

import nox

nox.options.sessions = ["lint", "tests", "docs"]
nox.options.reuse_existing_virtualenvs = True


@nox.session
def tests(session: nox.Session) -> None:
    """The tests, or those that are named."""
    session.install("-e", ".[test]")
    session.run("pytest", *session.posargs)


@nox.session
def campaign(session: nox.Session) -> None:
    """The long campaigns of faults and sizes."""
    session.install("-e", ".[test]")
    session.run("pytest", "-m", "campaign", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Style, format and types."""
    session.install("-e", ".[test,dev]")
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("mypy", "--strict", "src", "tests/support")


@nox.session
def docs(session: nox.Session) -> None:
    """The documentation, as a site in `site/`."""
    session.install("-e", ".[docs]")
    session.run("mkdocs", "build", "--strict", env={"NO_MKDOCS_2_WARNING": "true"})


@nox.session
def bench(session: nox.Session) -> None:
    """A benchmark: the name of a script, and its arguments."""
    session.install("-e", ".[bench]")
    script, *arguments = session.posargs or ["pages.py"]
    session.run("python", f"benchmarks/{script}", *arguments)
