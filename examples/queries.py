"""A health diary: a model with indexes, and questions to it.

python examples/queries.py
"""

import asyncio
from datetime import date, timedelta
from typing import Annotated

from pydantic import BaseModel, Field

from poof import F, Indexed, PoofCluster, PoofCollection

TODAY = date(2026, 3, 31)


class Dose(BaseModel):
    name: Annotated[str, Indexed()]
    mg: int


class Day(BaseModel):
    day: Annotated[date, Indexed(unique=True)]
    mood: Annotated[int, Field(ge=1, le=5), Indexed()]
    sleep: float
    symptoms: Annotated[list[str], Indexed()] = []
    doses: list[Dose] = []


def made_up_days() -> list[Day]:
    days = []
    for n in range(90):
        sleep = 5.5 + n * 7 % 10 / 2.5
        symptoms = ["headache"] if sleep < 6 else ["cough", "headache"] if n in range(40, 47) else []
        doses = [Dose(name="ibuprofen", mg=400)] if "headache" in symptoms else []
        mood = 2 if symptoms else 3 + n % 3
        days.append(Day(day=TODAY - timedelta(days=n), mood=mood, sleep=sleep, symptoms=symptoms, doses=doses))
    return days


async def ask(diary: PoofCollection[Day]) -> None:
    bad = await diary.count_documents(F.mood <= 2)
    print(f"{await diary.count_documents()} days, {bad} of them bad.")
    print("Symptoms:", ", ".join(await diary.distinct("symptoms")))

    rested = await diary.find((F.symptoms == "headache") & (F.sleep >= 7)).sort("day").to_list()
    print("Headache after enough sleep:", ", ".join(str(doc.model.day) for doc in rested))

    last = await diary.find_one({"doses": {"$elemMatch": {"name": "ibuprofen", "mg": {"$gte": 400}}}}, sort={"day": -1})
    if last is not None:
        print(f"The last 400 mg of ibuprofen: {last.model.day}.")

    print("The best days of this month:")
    async for doc in diary.find(F.day >= TODAY.replace(day=1)).sort([("mood", -1), ("sleep", -1)]).limit(3):
        print(f"  {doc.model.day}  mood {doc.model.mood}  slept {doc.model.sleep:.1f} hours")


async def correct(diary: PoofCollection[Day]) -> None:
    result = await diary.update_many({"symptoms": "cough"}, {"$push": {"symptoms": "fever"}, "$min": {"mood": 1}})
    print(f"{result.modified_count} days had a fever as well.")
    today = await diary.find_one_and_update({"day": TODAY}, {"$inc": {"sleep": 0.5}}, return_document="after")
    if today is not None:
        print(f"Slept {today.model.sleep} hours today.")


async def main() -> None:
    # With the name of a file and a password in place of ":memory:", the diary is kept.
    async with PoofCluster.create(":memory:") as cluster:
        db = await cluster.get_database("health")
        diary = await db.get_collection("diary", model=Day)
        await diary.insert_many(made_up_days())
        await ask(diary)
        await correct(diary)
        print(await diary.find(F.symptoms == "fever").explain())


if __name__ == "__main__":
    asyncio.run(main())
