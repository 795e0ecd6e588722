"""Budgets, lengths and pauses of the engine, in one value.

Layer: storage; below everything in it.

A value is `quick` where it bounds what runs on the event loop; see `budget`.
"""

from dataclasses import dataclass
from typing import Final

_KIB = 1024
_MIB = 1024 * _KIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """How an engine divides its time and memory. Nothing in here changes what a call returns."""

    # Reads on the event loop
    quick_documents: int = 64
    """How many documents a quick read may return."""
    quick_characters: int = 64 * _KIB
    """How many characters of JSON a quick read may return, and a quick change may write."""
    quick_candidates: int = 128
    """How many documents a quick read may look at in Python."""
    quick_document: int = 16 * _KIB
    """Bytes of JSON up to which a quick read takes a document from SQLite."""
    look_steps: int = 2_000
    """Steps of SQLite between two looks at a read: whether it holds the loop, or nobody waits for it any more."""
    reads_a_turn: int = 64
    """After so many reads in a row, a task lets the others run."""
    reading_time: float = 0.001
    """Seconds after which a task that reads lets the others run."""

    # Writes on the event loop
    quick_writes: int = 50
    quick_bytes: int = 64 * _KIB
    """What a batch or a transaction may hold at most to be committed on the event loop."""
    writes_a_turn: int = 16
    writing_time: float = 0.001
    """After so many quick writes in a row, or so many seconds, a task lets the others run."""
    long_transaction: float = 10.0
    """Seconds after which an open transaction is reported: meanwhile no other task can write."""

    # Snapshots that quick reads share
    quick_pause: float = 200e-6
    """Seconds between reads that may well be in the same turn of the loop."""
    patience: tuple[int, int] = (2, 32)
    """How many such reads come before a snapshot: at first, and at most, where snapshots were of little use.

    At most half of `reads_a_turn`: otherwise each snapshot would begin as its turn ends, and be of no use again.
    """
    useful_reads: int = 4
    """How many reads in a snapshot make up for its begin and its end."""

    # Work on threads
    reader_threads: int = 2
    """More do not help: they share one interpreter."""
    chunk_documents: int = 200
    chunk_bytes: int = 1 * _MIB
    """What a chunk of a long read or write holds at most."""
    bulk_documents: int = 1_000
    """How many documents of a list are encoded and inserted in one go."""
    first_bulk_documents: int = 20
    """How many documents of an iterator are gathered before anything is known about their size."""
    build_documents: int = 250
    """How many documents are listed in one go while an index is built."""
    once_cache_mib: int = 2
    """The cache of a connection that reads everything once, and so finds nothing in it."""

    # The log
    log_frames: int = 8_192
    """Length of the log, in pages, from which it is copied into the file in any case: 64 MiB."""
    quiet_log_frames: int = 1_024
    """From which it is copied where little is written: 8 MiB."""
    quiet_time: float = 0.1
    quiet_frames: int = 64
    """Little is written where the log grows by no more than so many pages in so many seconds."""
    most_pages: int = 6_000
    """For how many different pages in it writes wait for the copying: some 150 milliseconds."""
    kept_frames: int = 4_096
    """How much of its file is kept in a quiet moment, 32 MiB: to write it again costs less than to append."""
    copy_pause: float = 0.0005
    """Seconds between two pages that are copied, while others write."""
    copies_at_once: int = 16
    copy_break: float = 50e-6
    """Seconds, after so many pages that are copied, in which other threads get the interpreter. The calls that let go
    of it otherwise are too short for another thread to wake up."""
    freed_at_once: int = 16 * _MIB
    """How many bytes of a file are given back to the system at once."""
    look_again: float = 0.01
    """Seconds between two tries to copy the log while another process does."""

    # The file
    first_page_patience: float = 0.05
    first_page_pause: float = 0.002
    """How long, and how often, the first page is read again where it is not whole: it may just be written."""

    # Rewrites of the whole file
    rewrite_cache_mib: int = 8
    """The cache while everything is read and written once."""
    report_pages: int = 64
    """How many pages are handled between two reports."""

    # Documents that expire
    sweep_interval: float = 60.0
    """Seconds between two sweeps, as in MongoDB."""
    sweep_documents: int = 200
    """How many documents are deleted in one go."""


DEFAULT: Final = Tuning()
