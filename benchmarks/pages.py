"""What sealing and opening one page costs, against `Fernet.encrypt` and `Fernet.decrypt` on the same bytes.

    python benchmarks/pages.py

Each round times all four in turn, so that a change of the machine's speed falls on all of them; the medians count.
"""

import base64
import os
import statistics
import time
from collections.abc import Callable

from cryptography.fernet import Fernet

from poof.format.layout import CONTENT_SIZE, PAGE_NUMBER_SIZE, RESERVED_SIZE
from poof.format.pages import PageCodec

ROUNDS = 15
CALLS = 500


def seconds_per_call(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    for _ in range(CALLS):
        function()
    return (time.perf_counter() - start) / CALLS


def main() -> None:
    data_key = os.urandom(32)
    fernet = Fernet(base64.urlsafe_b64encode(data_key))
    codec = PageCodec(data_key)
    number = 7
    page = os.urandom(CONTENT_SIZE) + bytes(RESERVED_SIZE)
    plaintext = page[:CONTENT_SIZE] + number.to_bytes(PAGE_NUMBER_SIZE, "big")
    token = fernet.encrypt(plaintext)
    sealed = bytes(codec.seal(number, page))

    work: dict[str, Callable[[], object]] = {
        "Fernet.encrypt": lambda: fernet.encrypt(plaintext),
        "PageCodec.seal": lambda: codec.seal(number, page),
        "Fernet.decrypt": lambda: fernet.decrypt(token),
        "PageCodec.open": lambda: codec.open(number, sealed),
    }
    rounds = [{name: seconds_per_call(function) for name, function in work.items()} for _ in range(ROUNDS)]
    median = {name: statistics.median(times[name] for times in rounds) for name in work}

    print("| 8 KiB page | microseconds | of Fernet |\n|---|---:|---:|")
    for name, seconds in median.items():
        peer = "Fernet.encrypt" if name in ("Fernet.encrypt", "PageCodec.seal") else "Fernet.decrypt"
        print(f"| `{name}` | {seconds * 1e6:.1f} | {seconds / median[peer]:.2f} |")


if __name__ == "__main__":
    main()
