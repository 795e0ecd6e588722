"""Faults planted in PoofDB's own code, each of which a campaign must find: else the campaign proves nothing.

A mutation is made in a copy of the package; the working tree is never touched.
"""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import poof
from tests.support.places import TESTS

SEED = "20261124"
"""Of the campaigns that look for them."""
TRIES = 4
"""What depends on the moment, as a race of processes, may be found the next time only."""


@dataclass(frozen=True)
class Mutation:
    """A fault: which module gets what in the place of what, and the quick part of a campaign that finds it."""

    section: str
    module: str
    edits: tuple[tuple[str, str], ...]
    found_by: str


MUTATIONS = {
    "the last frame of a commit waits in memory": Mutation(
        "1 kill",
        "engines/sqlite/pages/log_file.py",
        (
            (
                "        super().xWrite(self._pages.buffer, frame)\n",
                "        self._late = bytes(self._pages.buffer), frame\n",
            ),
            (
                '        """Writes a header that waits for its page, before anything else is done to the file."""\n',
                "        late, self._late = getattr(self, '_late', None), None\n"
                "        if late is not None:\n            super().xWrite(*late)\n",
            ),
        ),
        "campaigns/test_kill.py::test_a_killed_writer_loses_nothing_acknowledged",
    ),
    "a transaction commits each of its statements": Mutation(
        "1 kill",
        "engines/sqlite/tables/savepoints.py",
        (
            ('    connection.execute("BEGIN IMMEDIATE")\n', "    pass\n"),
            ('    connection.execute("COMMIT")\n\n\ndef commit_nested', "    pass\n\n\ndef commit_nested"),
        ),
        "campaigns/test_kill.py::test_a_killed_writer_loses_nothing_acknowledged",
    ),
    "the name of a new file is not synced": Mutation(
        "2 power loss",
        "new_files.py",
        (("            return False\n        sync_folder(self.path)\n", "            return False\n"),),
        "campaigns/test_power_loss.py::test_a_loss_of_power_loses_nothing_that_was_promised",
    ),
    "a sync of the log and of the file does nothing": Mutation(
        "2 power loss",
        "engines/sqlite/pages/main_file.py",
        (("        self.flush()\n        super().xSync(flags)\n", "        self.flush()\n"),),
        "campaigns/test_power_loss.py::test_a_loss_of_power_loses_nothing_that_was_promised",
    ),
    "a header is not synced between its copies": Mutation(
        "2 power loss",
        "engines/sqlite/pages/main_file.py",
        (("        self.xSync(apsw.SQLITE_SYNC_FULL)\n", "        pass\n"),),
        "campaigns/test_power_loss.py::test_a_header_that_a_crash_tore_leaves_one_good_copy",
    ),
    "page 1 is read before the log": Mutation(
        "2 power loss",
        "engines/sqlite/pages/main_file.py",
        (("if (amount, offset) == _FILE_HEADER and not self._new:", "if False:"),),
        "campaigns/test_power_loss.py::test_a_first_page_that_a_crash_tore_is_read_from_the_log",
    ),
    "after a failed commit writes go on": Mutation(
        "3 I/O faults",
        "engines/sqlite/turns/writer.py",
        (("            self._failure = error\n", "            pass\n"),),
        "campaigns/test_io_faults.py::test_a_call_that_fails_loses_nothing_and_is_reported",
    ),
    "a short read ends the log": Mutation(
        "3 I/O faults",
        "engines/sqlite/pages/log_file.py",
        (("        if len(read) < FRAME_SIZE:  # SQLite", "        if False:  # SQLite"),),
        "campaigns/test_io_faults.py::test_a_call_that_fails_loses_nothing_and_is_reported",
    ),
    "the number of a page is not checked": Mutation(
        "4 tampering",
        "format/pages.py",
        (('if plaintext[_CONTENT_END:_NUMBER_END] != number.to_bytes(PAGE_NUMBER_SIZE, "big"):', "if False:"),),
        "campaigns/test_tampering.py::test_swapped_pages_are_refused",
    ),
    "a page is not authenticated": Mutation(
        "4 tampering",
        "format/pages.py",
        (("if not hmac.compare_digest(self._mac(view[:MAC_OFFSET]), view[MAC_OFFSET:TOKEN_SIZE]):", "if False:"),),
        "campaigns/test_fuzz.py::test_what_is_fuzzed_is_refused_or_true",
    ),
    "a header is not authenticated": Mutation(
        "4 tampering",
        "format/header.py",
        (("return hmac.compare_digest(self.mac, _mac(self.signed, data_key))", "return True"),),
        "campaigns/test_hostile_files.py::test_a_hostile_file_is_refused_or_true_in_bounded_time_and_memory",
    ),
    "the cost of a password is not bounded": Mutation(
        "4 tampering",
        "keys/kdf.py",
        (("le=MAX_MEMORY_KIB", "le=2**42"), ("if self.memory_kib * self.passes > MAX_WORK_KIB:", "if False:")),
        "campaigns/test_hostile_files.py::test_a_hostile_cost_of_a_password_is_not_paid",
    ),
    "the header of a frame is not encrypted": Mutation(
        "5 leaks",
        "engines/sqlite/pages/log_file.py",
        (("self._frame_header[:] = self._headers[0].seal(header, frame)", "self._frame_header[:] = header"),),
        "campaigns/test_secrets.py::test_no_two_frames_of_the_log_have_a_sealed_header_in_common",
    ),
    "a refused value is in the error": Mutation(
        "5 leaks",
        "models/reading.py",
        (("raise_alone(retitled(error, title or error.title))", "raise_alone(error)"),),
        "campaigns/test_secrets.py::test_nothing_secret_is_written_or_told",
    ),
    "pages are sealed in the clear": Mutation(
        "5 leaks",
        "format/pages.py",
        (
            (
                "        self._encryptor.update_into(\n"
                '            b"".join((next(self._random), page[:CONTENT_SIZE], '
                "_PAGE_END.pack(number, PADDING))),\n"
                "            self._iv_and_ciphertext,\n"
                "        )\n",
                "        plain = page[:CONTENT_SIZE], _PAGE_END.pack(number, PADDING)\n"
                '        self._slot[_IV_OFFSET:MAC_OFFSET] = b"".join((next(self._random), *plain))\n',
            ),
            (
                "        self._decryptor.update_into(view[_IV_OFFSET:MAC_OFFSET], plaintext)\n",
                "        plaintext[: MAC_OFFSET - _IV_OFFSET] = view[_IV_OFFSET:MAC_OFFSET]\n",
            ),
        ),
        "campaigns/test_secrets.py::test_nothing_secret_is_written_or_told",
    ),
    "a transaction reads before it has the lock": Mutation(
        "6 load",
        "engines/sqlite/tables/savepoints.py",
        (('    connection.execute("BEGIN IMMEDIATE")\n', '    connection.execute("BEGIN")\n'),),
        "campaigns/test_many_processes.py::test_a_counter_that_four_processes_add_to_is_exact",
    ),
    "no checkpoint is ever made": Mutation(
        "6 load",
        "engines/sqlite/turns/checkpoints.py",
        (("        if store.log_frames < self._due or", "        if True or"),),
        "engines/sqlite/turns/test_durability.py::test_the_log_stays_short_under_steady_writes",
    ),
}


def is_found(mutation: Mutation, folder: Path) -> bool:
    """Whether the campaign fails on a copy of PoofDB with the fault in it."""
    copy = folder / "poof"
    shutil.copytree(Path(poof.__file__).parent, copy, ignore=shutil.ignore_patterns("__pycache__"))
    changed = copy / mutation.module
    text = changed.read_text()
    for old, new in mutation.edits:
        assert text.count(old) == 1, f"the mutation does not fit {mutation.module} any more: {old!r}"
        text = text.replace(old, new)
    changed.write_text(text)
    return any(_fails(mutation.found_by, folder) for _ in range(TRIES))


def _fails(test: str, folder: Path) -> bool:
    # Nobody reads what pytest would tell, which for much data takes it minutes to put together.
    quiet = ["-q", "-x", "--tb=no", "--assert=plain", "-p", "no:cacheprovider", "--basetemp", str(folder / "tests")]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *quiet, str(TESTS / test)],
        cwd=TESTS.parent,
        env={**os.environ, "PYTHONPATH": str(folder), "POOF_SEED": SEED},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr  # 1: tests were run, and some failed
    return done.returncode == 1
