"""`docs/cli.md` and `--help` say all about `poof`, and nothing else; what they show works."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import poof
from poof.cli.app import command
from poof.cli.failures import ExitCode
from poof.cli.main import main
from tests.support.places import ROOT

DOCUMENT = (ROOT / "docs" / "cli.md").read_text()
SECTIONS = dict(re.findall(r"^### (poof [\w -]+)\n(.*?)(?=^##|\Z)", DOCUMENT, re.MULTILINE | re.DOTALL))
STORY = re.search(r"^```console\n(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL)
SHARED = {"--format", "--key-file"}
"""Options that are explained once for all commands."""


def leaves(group, path):
    """Every command that does something, by its whole name."""
    for name, member in group.commands.items():
        if hasattr(member, "commands"):
            yield from leaves(member, f"{path} {name}")
        else:
            yield f"{path} {name}", member


COMMANDS = dict(leaves(command(), "poof"))
GROUPS = [["--help"], *([*name.split()[1:-1], "--help"] for name in COMMANDS if name.count(" ") > 1)]


def options(member):
    """The long names of a command's options, each with the name of its value."""
    return {
        max(parameter.opts, key=len): None if parameter.is_flag else parameter.metavar or parameter.name.upper()
        for parameter in member.params
        if parameter.param_type_name == "option"
    }


def synopsis(section):
    return re.search(r"^```text\n(poof .*)\n```$", section, re.MULTILINE)[1]


def test_every_command_has_a_section_and_every_section_a_command():
    assert set(SECTIONS) == set(COMMANDS)


def test_the_options_of_poof_itself_are_documented():
    assert {"--install-completion", "--show-completion"} == set(options(command()))
    assert all(f"`poof {option}`" in DOCUMENT for option in options(command()))


@pytest.mark.parametrize("name", COMMANDS)
def test_the_synopsis_names_exactly_the_arguments_and_options(name):
    line = synopsis(SECTIONS[name])
    arguments = line.removeprefix(name).split(" [--")[0].split()
    expected = [
        parameter.metavar if parameter.required else f"[{parameter.metavar}]"
        for parameter in COMMANDS[name].params
        if parameter.param_type_name == "argument"
    ]
    assert arguments == expected
    named = dict(re.match(r"(--[\w-]+) ?(.*)", part).groups() for part in re.findall(r"\[(--[^\]]+)\]", line))
    there = {option: value or "" for option, value in options(COMMANDS[name]).items()}
    assert {**named, "--format": ""} == {**there, "--format": ""}
    assert ("--format" in named) == ("--format" in there)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_that_is_not_shared_is_explained(name):
    explained = set(re.findall(r"^- `(--[\w-]+)", SECTIONS[name], re.MULTILINE))
    own = set(options(COMMANDS[name])) - SHARED
    assert own <= explained <= own | SHARED


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_command_has_a_sentence_an_example_and_a_word_on_every_option(name, capsys):
    assert main([*name.split()[1:], "--help"]) == 0
    text = capsys.readouterr().out
    assert f"Example:\n    {name} " in text
    assert COMMANDS[name].help
    assert all(parameter.help for parameter in COMMANDS[name].params)
    assert all(option in text for option in options(COMMANDS[name]))


@pytest.mark.parametrize("name", COMMANDS)
def test_an_example_of_the_help_is_a_valid_command_line(name):
    for line in re.findall(r"^  (poof .*)$", COMMANDS[name].epilog, re.MULTILINE):
        assert line.startswith(f"{name} ")
        arguments = shlex.split(line.removeprefix(name))
        context = COMMANDS[name].make_context(name, arguments)
        assert all(
            context.params[parameter.name] is not None for parameter in COMMANDS[name].params if parameter.required
        )


@pytest.mark.parametrize("arguments", GROUPS, ids=" ".join)
@pytest.mark.parametrize("columns", ["40", "80"])
def test_help_fits_the_terminal(arguments, columns, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", columns)
    assert main(arguments) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) <= int(columns)


def test_every_exit_code_is_documented():
    table = DOCUMENT.split("## Exit codes")[1].split("## ")[0]
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)} == set(ExitCode)


def test_the_first_look_prints_what_the_document_says(tmp_path):
    lines = STORY[1].splitlines()
    commands = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    script = "\n".join(['poof() { "$PYTHON" -m poof "$@"; }', *commands])
    environment = {**os.environ, "PYTHON": sys.executable, "PYTHONPATH": str(Path(poof.__file__).parents[1])}
    done = subprocess.run(
        ["bash", "-e", "-c", script],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == [line for line in lines if not line.startswith("$ ")]
