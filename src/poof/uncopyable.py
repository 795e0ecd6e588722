"""What belongs to an open file, and so cannot be pickled or copied."""

from typing import NoReturn, SupportsIndex

from poof.errors import UncopyableError


class Uncopyable:
    """A class whose instances share an open file."""

    def __reduce_ex__(self, _protocol: SupportsIndex) -> NoReturn:
        raise UncopyableError(
            f"A {type(self).__name__} belongs to a file that this process has open, and cannot be pickled or copied. "
            "Pass the path and the key, and open the file there with PoofCluster.create(); of documents, pass doc.data."
        )
