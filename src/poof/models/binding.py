"""The model that a collection is bound to, and what it makes of the documents that are read and written.

Pure.

What is stored always fits the model, and reads back as the same. What the model does not know is not lost: an update
changes what it names, and an instance replaces what the model knows.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic

from pydantic import BaseModel

from poof.encoding.identity import id_field
from poof.encoding.scalars import write_json
from poof.encoding.schemas import ModelShape, shape_of
from poof.encoding.values import encode_json, encode_model, write_new
from poof.errors import InvalidDocumentError
from poof.models.comparing import check_names, check_reads_back, reads_equal
from poof.models.merging import drop_synonyms, keep_unknown, take_form
from poof.models.reading import ModelT, parse_data, parse_json, validated

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
        return parse_json(self.model, text, self._title(f"document {obj_id}"))

    def encode(self, data: BaseModel | Mapping[str, Any], obj_id: str | None = None) -> tuple[Data, str]:
        """A whole new document and its JSON text.

        Raises:
            pydantic.ValidationError: the data does not fit the model.
            InvalidDocumentError: it cannot be stored exactly, or the model would read it back as something else.
            DocumentTooLargeError: it is larger than 64 MiB.
        """
        shape = self._shape
        check_names(shape)
        if not isinstance(data, self.model):
            instance: BaseModel = validated(self.model.model_validate, self._with_id(data, obj_id))
            encoded, text, _ = encode_model(instance)
            if shape.reads_back():
                return encoded, text.decode()
            check_reads_back(instance, self._read(encoded, text, obj_id))
            return encoded, text.decode()
        encoded, text, as_declared = encode_model(data)
        read = self._read(encoded, text, obj_id)
        if type(data) is not self.model or not (as_declared and shape.reads_back()):
            check_reads_back(data, read)
        if not as_declared and type(data) is self.model:
            encoded, text, _ = encode_model(read)
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
        known = self._shape
        check_names(known)
        paths = list(paths)
        after = drop_synonyms(after, paths, known.shape)
        formed = self._form(after, obj_id, name)
        stored = take_form(before, after, formed, paths, known.shape)
        text = write_new(stored)
        if text is None:
            stored, text = encode_json(stored)  # which says why
        if not known.reads_back():
            again = take_form(before, after, self._form(stored, obj_id, name), paths, known.shape)
            if again != stored:
                raise InvalidDocumentError(
                    f"What the update gives {self._title(name)} does not read back as the same: a validator or "
                    "serializer of the model changes what it made itself. Nothing was changed."
                )
        return stored, text.decode()

    def encode_replacement(self, new: Data, text: str, old: Data, obj_id: str) -> tuple[Data, str]:
        """What is stored where an instance, encoded already, replaces a document: the old one's unknown fields stay.

        They go where the instance would read back as another one because of them, which a validator may bring about
        that looks at fields of an older model.

        Raises:
            pydantic.ValidationError: the model forbids the fields that it does not know.
            DocumentTooLargeError: both together are larger than 64 MiB.
        """
        known = self._shape
        kept = keep_unknown(old, new, known.shape)
        if kept is new:
            return new, text
        encoded, kept_text = encode_json(kept)
        read = self._parse(encoded, obj_id, f"document {obj_id}")
        if not known.is_exact and not reads_equal(self._parse(new, obj_id, f"document {obj_id}"), read):
            return new, text
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

    def _read(self, encoded: Data, text: bytes, obj_id: str | None) -> ModelT:
        """What is to be stored, as it will be read."""
        if self.id_field is not None:
            text = write_json(self._with_id(encoded, obj_id))
        return parse_json(self.model, text, f"{self.model.__name__}, read back as it is stored")

    def _form(self, data: Data, obj_id: str | None, name: str) -> Data:
        return encode_model(self._parse(data, obj_id, name))[0]

    def _parse(self, data: Data, obj_id: str | None, name: str) -> ModelT:
        return parse_data(self.model, self._with_id(data, obj_id), self._title(name))

    def _title(self, name: str) -> str:
        return f"{self.model.__name__}, {name} of collection {self.collection!r}"

    def _with_id(self, data: Any, obj_id: str | None) -> Any:
        name = self.id_field
        if name is None or obj_id is None or not isinstance(data, Mapping):
            return data
        return {**data, self._read_as(name): obj_id}

    def _read_as(self, name: str) -> str:
        """A name under which the model reads a field, before any other one."""
        alias = self.model.model_fields[name].validation_alias
        return alias if isinstance(alias, str) else name
