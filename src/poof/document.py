"""Documents as calls return them, and the data in stored text.

Pure.
"""

import functools
from collections.abc import Iterable, Mapping
from typing import Any, Generic

import orjson
from pydantic import BaseModel, ConfigDict, Field

from poof.encoding.values import StoredData, encode_json
from poof.errors import DamagedFileError, NoModelError
from poof.models.binding import Binding
from poof.models.reading import ModelT
from poof.object_ids import OBJECT_ID_PATTERN
from poof.raising import raise_alone

_NOT_JSON = "a document in the file is not JSON, and cannot be read."
_NO_OBJECT = "a document in the file is not a JSON object, and cannot be read."

# Kept beside the fields, as Python keeps a cached property: a private attribute of Pydantic triples the cost of a
# document.
_BINDING = "_binding"
_ALL_FIELDS = {"objId", "data"}
"""Which fields are set, for Pydantic. It never changes, so documents share it: a set for each would be a quarter more
for the garbage collector to go through."""
# What Pydantic keeps of an instance, set by the descriptors themselves: that takes half as long as by their names.
_set_dict, _set_fields_set, _set_extra, _set_private = (
    vars(BaseModel)[name].__set__
    for name in ("__dict__", "__pydantic_fields_set__", "__pydantic_extra__", "__pydantic_private__")
)


class PoofDocument(StoredData, BaseModel, Generic[ModelT]):
    """A stored document: its id, and its data as a plain dict that you may change.

    >>> doc = PoofDocument(objId="XyZ123AbCdEf", data={"name": "Alice"})
    >>> doc.data["name"]
    'Alice'
    """

    model_config = ConfigDict(populate_by_name=True)

    objId: str = Field(alias="_objId", pattern=OBJECT_ID_PATTERN)  # noqa: N815 - public API
    data: dict[str, Any] = Field(repr=False)

    @functools.cached_property
    def model(self) -> ModelT:
        """The data as an instance of the model that the collection is bound to.

        The first use makes the instance from `data` as it is then, and keeps it.

        Raises:
            NoModelError: the collection is bound to no model.
            pydantic.ValidationError: the data does not fit the model; it names the collection and the document.
        """
        binding: Binding[ModelT] | None = self.__dict__.get(_BINDING)
        if binding is None:
            raise NoModelError("The collection is bound to no model; use get_collection(name, model=YourModel).")
        return binding.parse(self.objId, self.data)


def make_document(obj_id: str, data: dict[str, Any], binding: Binding[ModelT] | None = None) -> PoofDocument[ModelT]:
    """Returns a document of a collection, with the model that the collection is bound to."""
    # As Pydantic's own `model_construct`, without validating again what was validated when it was stored.
    document: PoofDocument[ModelT] = PoofDocument.__new__(PoofDocument)
    fields = {"objId": obj_id, "data": data}
    _set_dict(document, fields if binding is None else {**fields, _BINDING: binding})
    _set_fields_set(document, _ALL_FIELDS)
    _set_extra(document, None)
    _set_private(document, None)
    return document


def encode_document(data: BaseModel | Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """Returns the data as a new dict of plain JSON values, and as the JSON text to store.

    Raises:
        InvalidDocumentError: the data is not a document, or holds what JSON cannot hold exactly.
        DocumentTooLargeError: it is larger than 64 MiB.
    """
    encoded, text = encode_json(data)
    return encoded, text.decode()


def decode_document(text: str) -> dict[str, Any]:
    """Returns the data of a stored document.

    Raises:
        DamagedFileError: the text is not a JSON object. PoofDB did not write it; somebody with the key did.
    """
    try:
        data: dict[str, Any] = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise_alone(DamagedFileError(_NOT_JSON))
    if type(data) is not dict:
        raise DamagedFileError(_NO_OBJECT)
    return data


def decode_documents(texts: Iterable[str]) -> list[dict[str, Any]]:
    """Returns the data of several stored documents, quicker than `decode_document` one by one. Errors are the same."""
    try:
        decoded = [orjson.loads(text) for text in texts]
    except orjson.JSONDecodeError:
        raise_alone(DamagedFileError(_NOT_JSON))
    if not set(map(type, decoded)) <= {dict}:
        raise DamagedFileError(_NO_OBJECT)
    return decoded
