"""Indexes that models declare on their fields."""

import datetime
import warnings
from datetime import timedelta
from typing import Annotated, Any, Optional

import pytest
from pydantic import BaseModel, ConfigDict, Field, RootModel

from poof import DuplicateKeyError, Indexed, IndexInfo, InvalidQueryError, PoofCluster
from tests.support.people import KEY

pytestmark = pytest.mark.every_engine


class Address(BaseModel):
    street: str = ""
    city: Annotated[str, Indexed()] = ""


class Tagged(BaseModel):
    tag: Annotated[str, Indexed(unique=True)] = ""


class Node(BaseModel):
    name: Annotated[str, Indexed()] = ""
    children: "list[Node]" = []


class Names(RootModel[list[Annotated[str, Indexed()]]]):
    pass


class Camel(BaseModel):
    model_config = ConfigDict(alias_generator=lambda name: name.title(), populate_by_name=True)
    mail: Annotated[str, Indexed()] = ""


def model(**fields: Any) -> type[BaseModel]:
    """A model of fields that have these annotations."""
    namespace = {"__annotations__": fields, "__module__": __name__, **dict.fromkeys(fields)}
    return type("Made", (BaseModel,), namespace)


DECLARED: list[tuple[Any, list[str]]] = [
    (Annotated[str, Indexed()], ["a_1"]),
    (Annotated[int, Indexed(descending=True)], ["a_-1"]),
    (Annotated[int, Field(ge=0), Indexed(name="mine")], ["mine"]),
    (Annotated[str | None, Indexed()], ["a_1"]),
    (Annotated[str, Indexed()] | None, ["a_1"]),
    (Optional[Annotated[str, Indexed()]], ["a_1"]),  # noqa: UP045 - as people write it
    (Annotated[list[str], Indexed()], ["a_1"]),
    (list[Annotated[str, Indexed()]], ["a_1"]),
    (Annotated[str, Indexed(), Indexed(descending=True)], ["a_-1", "a_1"]),
    (Annotated[str, Field(alias="b"), Indexed()], ["b_1"]),
    (Annotated[str, Field(serialization_alias="b"), Indexed()], ["b_1"]),
    (Annotated[str, Field(validation_alias="b"), Indexed()], ["a_1"]),
    (Address, ["a.city_1"]),
    (Address | None, ["a.city_1"]),
    (list[Address], ["a.city_1"]),
    (tuple[Address, ...], ["a.city_1"]),
    (list[Address] | None, ["a.city_1"]),
    (list[list[Address]], ["a.city_1"]),
    (Address | Tagged, ["a.city_1", "a.tag_1"]),
    (Annotated[Address, Indexed()], ["a.city_1", "a_1"]),
    (Camel, ["a.Mail_1"]),
    (Names, ["a_1"]),
    (Node, ["a.name_1"]),
    (dict[str, Address], []),
    (dict[str, Annotated[str, Indexed()]], []),
    (str, []),
]


@pytest.mark.parametrize(("annotation", "names"), DECLARED, ids=str)
async def test_an_annotation_declares_an_index(open_collection, annotation, names):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The `alias` attribute")
        warnings.filterwarnings("ignore", "The `validation_alias` attribute")
        warnings.filterwarnings("ignore", "The `serialization_alias` attribute")
        declaring = model(a=annotation)
    async with open_collection(model=declaring) as people:
        assert sorted(index.name for index in await people.list_indexes()) == names


@pytest.mark.own_engine
async def test_what_an_annotation_says_is_what_the_index_is(open_collection):
    class User(BaseModel):
        mail: Annotated[str, Indexed(unique=True)]
        seen: Annotated[datetime.datetime, Indexed(expire_after=timedelta(days=1), name="old")]

    async with open_collection(model=User) as people:
        assert await people.list_indexes() == [
            IndexInfo("mail_1", [("mail", 1)], unique=True),
            IndexInfo("old", [("seen", 1)], expire_after=timedelta(days=1)),
        ]


@pytest.mark.parametrize(
    "wrong", [Indexed(expire_after=timedelta(-1)), Indexed(descending=True, expire_after=timedelta(1))]
)
async def test_a_wrong_declaration_is_refused(open_collection, wrong):
    with pytest.raises(InvalidQueryError):
        async with open_collection(model=model(a=Annotated[str, wrong])):
            raise AssertionError


class User(BaseModel):
    mail: Annotated[str, Indexed(unique=True)]
    addresses: list[Address] = []


class PlainUser(BaseModel):
    mail: str
    addresses: list[Address] = []


async def users(cluster: PoofCluster, model: type[BaseModel] | None) -> Any:
    return await (await cluster.get_database("db")).get_collection("people", model)  # type: ignore[arg-type]


@pytest.mark.own_engine
async def test_a_declared_index_is_used(cluster):
    people = await users(cluster, User)
    paris, rome = Address(city="Paris"), Address(city="Rome")
    await people.insert(User(mail="a", addresses=[paris, rome]))
    await people.insert(User(mail="b", addresses=[rome]))
    cursor = people.find({"addresses.city": "Paris"})
    assert (await cursor.explain()).index == "addresses.city_1"
    assert [doc.model.mail for doc in await cursor.to_list()] == ["a"]


async def test_a_declared_unique_index_refuses(cluster):
    people = await users(cluster, User)
    await people.insert(User(mail="a"))
    with pytest.raises(DuplicateKeyError, match="value of the field 'mail'"):
        await people.insert(User(mail="a"))
    await people.insert(User(mail="b"))
    with pytest.raises(DuplicateKeyError, match="'mail_1'"):
        await people.update_one({"mail": "b"}, {"$set": {"mail": "a"}})


async def test_binding_again_creates_nothing_new(cluster):
    people = await users(cluster, User)
    first = await people.list_indexes()
    assert len(first) == 2
    assert await (await users(cluster, User)).list_indexes() == first
    assert await (await users(cluster, None)).list_indexes() == first


async def test_a_declared_index_that_is_there_under_another_name_is_not_made_again(cluster, people):
    await people.create_index("mail", unique=True, name="by_mail")
    bound = await users(cluster, User)
    assert [index.name for index in await bound.list_indexes()] == ["addresses.city_1", "by_mail"]


async def test_taking_the_annotation_away_drops_nothing(cluster):
    await users(cluster, User)
    people = await users(cluster, PlainUser)
    assert [index.name for index in await people.list_indexes()] == ["addresses.city_1", "mail_1"]
    await people.insert({"mail": "a"})
    with pytest.raises(DuplicateKeyError):
        await people.insert({"mail": "a"})


async def test_binding_a_collection_that_has_duplicates_is_refused_and_changes_nothing(cluster, people):
    await people.insert_many([{"mail": "a"}, {"mail": "b"}, {"mail": "a"}])
    with pytest.raises(DuplicateKeyError, match=r"'mail_1' is unique.* the field 'mail'"):
        await users(cluster, User)
    assert len(await people.find_all()) == 3
    assert await people.list_indexes() == []
    await people.update_one({"mail": "a"}, {"$set": {"mail": "c"}})
    assert len(await (await users(cluster, User)).list_indexes()) == 2


async def test_a_declaration_that_became_unique_is_not_ignored(cluster, people):
    await people.create_index("mail")
    with pytest.raises(InvalidQueryError, match="another index 'mail_1'"):
        await users(cluster, User)


@pytest.mark.own_engine
async def test_documents_that_were_there_before_are_listed(cluster, people):
    await people.insert_many([{"mail": str(n), "addresses": [{"city": "Rome"}]} for n in range(600)])
    bound = await users(cluster, User)
    assert (await bound.find_one({"mail": "555"})).data["mail"] == "555"
    explanation = await bound.find({"mail": "555"}).explain()
    assert (explanation.index, explanation.documents_examined) == ("mail_1", 1)
    assert await bound.count_documents({"addresses.city": "Rome"}) == 600


async def test_binding_in_a_transaction_that_rolls_back_leaves_no_index(cluster, people):
    with pytest.raises(ZeroDivisionError):
        async with cluster.transaction():
            bound = await users(cluster, User)
            await bound.insert(User(mail="a"))
            raise ZeroDivisionError
    assert await people.list_indexes() == []
    assert await people.count_documents() == 0


async def test_read_only_creates_nothing(path):
    async def write(model):
        async with await PoofCluster.create(path, KEY) as cluster:
            await (await users(cluster, model)).insert({"mail": "a"})

    async def read():
        async with await PoofCluster.create(path, KEY, read_only=True) as cluster:
            people = await users(cluster, User)
            doc = await people.find_one({"mail": "a"})
            return doc.model.mail, [index.name for index in await people.list_indexes()]

    await write(None)
    assert await read() == ("a", [])
    await write(None)
    path.unlink()
    await write(User)
    assert await read() == ("a", ["addresses.city_1", "mail_1"])


async def test_a_declaration_survives_the_file(path):
    async def write():
        async with await PoofCluster.create(path, KEY) as cluster:
            await (await users(cluster, User)).insert(User(mail="a"))

    async def refused():
        async with await PoofCluster.create(path, KEY) as cluster:
            with pytest.raises(DuplicateKeyError):
                await (await users(cluster, None)).insert({"mail": "a"})

    await write()
    await refused()
