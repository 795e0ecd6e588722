"""What somebody may have meant who calls a method of a collection that there is not.

Pure.
"""

import difflib
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

_MEANT = {
    "add": "insert()",
    "all": "find_all()",
    "bulk": "bulk_write()",
    "clear": "delete_many({})",
    "count": "count_documents()",
    "create": "insert()",
    "delete_all": "delete_many({})",
    "delete_by_id": "delete()",
    "ensure_index": "create_index()",
    "find_many": "find()",
    "find_one_by_id": "find_by_id()",
    "get": "find_by_id()",
    "get_all": "find_all()",
    "get_by_id": "find_by_id()",
    "index_information": "list_indexes()",
    "indexes": "list_indexes()",
    "insert_all": "insert_many()",
    "insert_one": "insert()",
    "put": "insert()",
    "query": "find()",
    "remove": "delete()",
    "remove_many": "delete_many()",
    "remove_one": "delete_one()",
    "replace": "replace_one()",
    "replace_by_id": "update()",
    "save": "insert() or update()",
    "truncate": "delete_many({})",
    "update_all": "update_many({}, ...)",
    "update_by_id": "update()",
    "upsert": "update_one(..., upsert=True)",
}
"""What other libraries call it, and what it is called here."""


class Hinting:
    """A class whose objects say what is meant, where a method is not known."""

    if not TYPE_CHECKING:  # to whom every name would be known

        def __getattr__(self, name):
            known = [method for method in dir(type(self)) if not method.startswith("_")]
            raise AttributeError(missing_method(type(self).__name__, name, known), name=name, obj=None)


def missing_method(owner: str, name: str, known: Iterable[str]) -> str:
    """The text of the error for a method that is not known.

    >>> missing_method("PoofCollection", "insert_one", ["insert"])
    "PoofCollection has no attribute 'insert_one'. Use insert()."
    """
    text = f"{owner} has no attribute {name!r}."
    if name.startswith("_"):
        return text
    snake = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
    names = {method: f"{method}()" for method in known} | _MEANT
    near = [snake] if snake in names else difflib.get_close_matches(snake, names, n=1, cutoff=0.75)
    return f"{text} Use {names[near[0]]}." if near else text
