"""Events whose types are of all kinds that Pydantic has, for their documents."""

import dataclasses
import datetime
import decimal
import enum
import uuid
from typing import Annotated, Any, Generic, Literal, NamedTuple, Optional, TypeVar, Union

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field, Json, RootModel, SecretStr, computed_field
from typing_extensions import NotRequired, TypedDict

from kokanee.fastapi import Event, Question, SocketIO

app = FastAPI()
sio = SocketIO(app)
Item = TypeVar("Item")


class Colour(enum.Enum):
    red = "red"
    blue = "blue"


class Size(enum.IntEnum):
    small = 1
    big = 2


class Page(BaseModel, Generic[Item]):
    items: list[Item]
    next: int | None = None


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int = 9


class Dog(BaseModel):
    kind: Literal["dog"]
    tags: set[str] = set()


Pet = Annotated[Union[Cat, Dog], Field(discriminator="kind")]


class Node(BaseModel):
    name: str
    children: list["Node"] = []
    parent: Optional["Node"] = None


class Moment(BaseModel):
    at: datetime.datetime
    day: datetime.date
    took: datetime.timedelta
    id: uuid.UUID
    price: decimal.Decimal


class Named(BaseModel):
    my_field: int = Field(alias="myField")
    other: str = Field("x", serialization_alias="outName", validation_alias="inName")

    @computed_field
    @property
    def length(self) -> int:
        return len(self.other)


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    a: int


class Numbers(RootModel[list[int]]):
    pass


class Plain(TypedDict):
    a: int
    b: NotRequired[str]


@dataclasses.dataclass
class Data:
    a: int
    b: str | None = None


class Pair(NamedTuple):
    x: int
    y: str


class Everything(BaseModel):
    colour: Colour
    size: Size
    pet: Pet
    needed: int | None
    optional: int | None = None
    moment: Moment
    counts: dict[str, int]
    by_colour: dict[Colour, list[int]]
    pair: tuple[int, str]
    many: tuple[int, ...]
    anything: Any
    literal: Literal["a", 1, None, True]
    content: bytes
    mixed: Union[int, list[str | None], None]
    json_text: Json[list[int]]
    secret: SecretStr
    named: Pair


@sio.on("everything")
async def everything(value: Everything) -> Everything:
    return value


@sio.on("pages")
async def pages(cats: Page[Cat], numbers: Page[Page[int]] | None = None) -> Page[Dog]:
    return Page[Dog](items=[Dog(kind="dog")])


@sio.on("pets")
async def pets(pet: Pet, *others: Pet) -> Cat | Dog | None:
    return pet


@sio.on("tree")
async def tree(node: Node) -> list[Node]:
    return [node]


@sio.on("named")
async def named(value: Named) -> Named:
    return value


@sio.on("others")
async def others(
    open_: Open, numbers: Numbers, plain: Plain, data: Data, at: datetime.datetime | None = None
) -> tuple[Open, Numbers, Plain, Data, datetime.datetime | None]:
    return open_, numbers, plain, data, at


@sio.on("nothing")
async def nothing() -> None: ...


@sio.on("maybe")
async def maybe(value: int | None) -> int | None:
    return value


moved: Event[Page[Cat], Colour | None, datetime.datetime] = sio.emits("moved", Page[Cat], Colour | None, datetime.datetime)
chosen: Question[Pet | None, Size] = sio.asks("choose", Size, answer=Pet | None)


@sio.on("emit")
async def emit() -> Pet | None:
    await moved.emit(Page[Cat](items=[Cat(kind="cat")]), None, datetime.datetime(2030, 1, 2, tzinfo=datetime.timezone.utc))
    return None
