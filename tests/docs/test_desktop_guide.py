"""The desktop program of the guide, in a real window on a display that nobody sees."""

import os
import shutil
import subprocess
import sys

import pytest

from tests.support.documents import ROOT, blocks

pytest.importorskip("tkinter")

DRIVER = """
import gc
from diary_app import App


def wait(app, condition):
    while not condition():
        app.update()


def run(passwords, lines, answer=None):
    app = App()
    dialog = app.dialog
    for field, password in zip(dialog.fields, passwords, strict=True):
        field.insert(0, password)
    dialog.button.invoke()
    if answer is not None:
        wait(app, lambda: dialog.message["text"] == answer)
    else:
        wait(app, lambda: app.entries is not None)
        for line in lines:
            app.line.insert(0, line)
            app.add()
            wait(app, lambda: any(line in shown for shown in app.list.get(0, "end")))
        print([shown[16:].strip() for shown in app.list.get(0, "end")])
    app.update()
    app.quit_program()
    del app, dialog
    gc.collect()  # here, and not on the thread of the next one


run(["four random words", "for random words"], [], answer="These are two different passwords.")
run(["four random words", "four random words"], ["It rained.", "It went on raining."])
run(["another password"], [], answer="That is not the password.")
run(["four random words"], ["Sun."])
"""


@pytest.fixture
def display():
    """The number of a display: that of the machine, or a virtual one."""
    if display := os.environ.get("DISPLAY"):
        yield display
        return
    if not (server := shutil.which("Xvfb")):
        pytest.skip("there is no display, and no Xvfb to make one")
    reader, writer = os.pipe()
    with subprocess.Popen(
        [server, "-displayfd", str(writer), "-nolisten", "tcp"], pass_fds=[writer], stderr=subprocess.DEVNULL
    ) as process:
        os.close(writer)
        with open(reader) as number:  # noqa: PTH123 - a pipe
            yield f":{number.readline().strip()}"
        process.terminate()


@pytest.fixture
def guide(tmp_path):
    """The files of the guide, in a folder."""
    for block in blocks(ROOT / "docs" / "guides" / "desktop.md", "python"):
        (tmp_path / block.title).write_text(block.text)
    return tmp_path


def test_the_program_of_the_guide_can_be_imported(guide):
    done = subprocess.run([sys.executable, "-W", "error", "-c", "import diary_app"], cwd=guide, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")


def test_the_window_asks_for_the_password_and_keeps_what_is_written(guide, display):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", DRIVER],
        cwd=guide,
        env={**os.environ, "DISPLAY": display},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "['It went on raining.', 'It rained.']",
        "['Sun.', 'It went on raining.', 'It rained.']",
    ]
    assert (guide / "diary.poof").exists()
    assert b"rain" not in (guide / "diary.poof").read_bytes()
