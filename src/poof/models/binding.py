"""The model that a collection is bound to, and what it makes of the documents that are read and written.

Layer: models; pure.

What is stored always fits the model, and reads back as the same. What the model does not know is not lost: an update
changes what it names, and an instance replaces what the model knows.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic

from pydantic import BaseModel

from poof.encoding.identity import id_field
from poof.encoding.shapes import ModelShape, shape_of
from poof.encoding.values import encode_json, write_json
from poof.errors import InvalidDocumentError
from poof.models.merging import keep_unknown, take_form
from poof.models.reading import ModelT, check_names, check_reads_back, parse_data, validated

Data = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Binding(Generic[ModelT]):
    """The model that a collection is bound to, and the collection's name."""

    model: type[ModelT]
    collection: str

    @property
    def id_field(self) -> str | None:
        """The field of the model that holds the id of the document, if one is marked."""
        return id_field(self.model)

    @property
    def id_names(self) -> tuple[str, ...]:
        """The names under which the model reads that field."""
        name = self.id_field
        return () if name is None else (name, self._read_as(name))

    def parse(self, obj_id: str, data: Mapping[str, Any]) -> ModelT:
        """The data of a document as an instance of the model.

        Raises:
            pydantic.ValidationError: it does not fit; it names the collection and the document, and shows no value.
        """
        text = encode_json(self._with_id(data, obj_id))[1]  # of data that the caller may have changed
        return validated(self.model.model_validate_json, text, self._title(f"document {obj_id}"))

    def encode(self, data: BaseModel | Mapping[str, Any], obj_id: str | None = None) -> tuple[Data, str]:
        """A whole new document and its JSON text.

        Raises:
            pydantic.ValidationError: the data does not fit the model.
            InvalidDocumentError: it cannot be stored exactly, or the model would read it back as something else.
            DocumentTooLargeError: it is larger than 64 MiB.
        """
        check_names(self.model)
        is_instance = isinstance(data, self.model)
        instance: BaseModel = (
            data if isinstance(data, self.model) else validated(self.model.model_validate, self._with_id(data, obj_id))
        )
        encoded, text = encode_json(instance)
        if is_instance or not self._shape.reads_back():
            read = validated(self.model.model_validate_json, self._text_with_id(encoded, text, obj_id))
            if not self._shape.reads_back():
                check_reads_back(instance, read)
        return encoded, text.decode()

    def encode_parsed(self, data: Data, obj_id: str | None, name: str) -> tuple[Data, str]:
        """A whole new document of JSON values, read by the rules of JSON, and its text. `name`: what an error calls it.

        Raises: as `encode`.
        """
        return self.encode(parse_data(self.model, self._with_id(data, obj_id), self._title(name)), obj_id)

    def encode_update(
        self, before: Data, after: Data, paths: Iterable[Sequence[str]], obj_id: str | None, name: str
    ) -> tuple[Data, str]:
        """A document after an update that named some paths, and its JSON text. `name`: what an error calls it.

        Raises: as `encode`.
        """
        check_names(self.model)
        paths = list(paths)
        formed = self._form(after, obj_id, name)
        stored = take_form(before, after, formed, paths, self._shape.shape)
        encoded, text = encode_json(stored)
        if not self._shape.reads_back():
            again = take_form(before, after, self._form(encoded, obj_id, name), paths, self._shape.shape)
            if again != stored:
                raise InvalidDocumentError(
                    f"What the update gives {self._title(name)} does not read back as the same: a validator or "
                    "serializer of the model changes what it made itself. Nothing was changed."
                )
        return encoded, text.decode()

    def encode_replacement(self, new: Data, text: str, old: Data, obj_id: str) -> tuple[Data, str]:
        """What is stored where an instance, encoded already, replaces a document: the old one's unknown fields stay.

        Raises:
            pydantic.ValidationError: the model forbids the fields that it does not know.
            DocumentTooLargeError: both together are larger than 64 MiB.
        """
        kept = keep_unknown(old, new, self._shape.shape)
        if kept == new:
            return new, text
        encoded, kept_text = encode_json(kept)
        parse_data(self.model, self._with_id(encoded, obj_id), self._title(f"document {obj_id}"))
        return encoded, kept_text.decode()

    def encode_exactly(self, data: Mapping[str, Any], obj_id: str) -> tuple[Data, str]:
        """Data as it is, unknown fields included, which must fit the model.

        Raises: as `encode`.
        """
        encoded, text = encode_json(data)
        self.parse(obj_id, encoded)
        return encoded, text.decode()

    @property
    def _shape(self) -> ModelShape:
        return shape_of(self.model)

    def _form(self, data: Data, obj_id: str | None, name: str) -> Data:
        return encode_json(parse_data(self.model, self._with_id(data, obj_id), self._title(name)))[0]

    def _title(self, name: str) -> str:
        return f"{self.model.__name__}, {name} of collection {self.collection!r}"

    def _with_id(self, data: Any, obj_id: str | None) -> Any:
        name = self.id_field
        if name is None or obj_id is None or not isinstance(data, Mapping):
            return data
        return {**data, self._read_as(name): obj_id}

    def _text_with_id(self, encoded: Data, text: bytes, obj_id: str | None) -> bytes:
        return text if self.id_field is None else write_json(self._with_id(encoded, obj_id))

    def _read_as(self, name: str) -> str:
        """A name under which the model reads a field, before any other one."""
        alias = self.model.model_fields[name].validation_alias
        return alias if isinstance(alias, str) else name
