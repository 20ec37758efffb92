"""A FastAPI application whose events have all kinds of types: for its documents, and for clients."""

import dataclasses
import datetime
import enum
from typing import Annotated, Any, Literal, Optional, Union

from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import APIKeyCookie, HTTPBearer, OAuth2PasswordBearer, OpenIdConnect
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from kokanee.fastapi import Event, Question, Socket, SocketIO, SocketRouter

app = FastAPI(title="Shop", version="2.1.0", description="Sells *tea*.")
sio = SocketIO(app)


class Colour(enum.Enum):
    GREEN = "green"
    BLACK = "black"


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int = 9


class Dog(BaseModel):
    kind: Literal["dog"]
    tail: float = Field(3.5, alias="tail-length", gt=0)


class Place(TypedDict, total=False):
    city: str


@dataclasses.dataclass
class Size:
    width: int
    height: int = 1


class Order(BaseModel):
    """An order of a client,
    which may */ have parts."""

    text: str = Field(min_length=1, max_length=20, description="What is wanted")
    colour: Colour = Colour.GREEN
    pet: Annotated[Union[Cat, Dog], Field(discriminator="kind")] = Cat(kind="cat")
    part_of: "Optional[Order]" = None
    extra: dict[str, int] = {}
    pair: tuple[int, str] = (1, "x")
    rest: tuple[int, ...] = ()
    blob: bytes = b""
    at: Optional[datetime.datetime] = None
    place: Place = {}
    size: Size = Size(1)
    anything: Any = None
    flag: Literal[1, "two", True] = 1


class Receipt(BaseModel):
    number: int
    order: Order


class Ticket(BaseModel):
    token: str


Order.model_rebuild()


@sio.on("order")
async def order(socket: Socket, order: Order) -> Receipt:
    """Orders something."""
    return Receipt(number=7, order=order)


@sio.on("many words")
async def many_words(number: int, orders: list[Order] = [], *rest: bytes) -> tuple[int, bytes]:
    return number + len(orders), b"".join(rest)


@sio.on("add")
async def add(first: int, second: int = 1) -> int:
    return first + second


@sio.on("quiet")
async def quiet(default: str) -> None: ...


@sio.on("unsaid")
async def unsaid(data, count: int = 2):  # type: ignore[no-untyped-def]
    return [data] * count


@sio.on("ask me")
async def ask_me(socket: Socket) -> bool:
    await news.emit("fresh", Receipt(number=1, order=Order(text="tea", blob=b"\xff")), to=socket)
    return await confirm.call(Order(text="sure"), to=socket)


news: Event[str, Receipt] = sio.emits("news", str, Receipt, description="Says what is new.")
confirm: Question[bool, Order] = sio.asks("confirm", Order, answer=bool)
tick: Event[()] = sio.emits("tick")

staff = SocketRouter("/staff-only", dependencies=[Depends(HTTPBearer(auto_error=False))])


@staff.on("connect")
async def connect(ticket: Ticket) -> None:
    if ticket.token != "good":
        raise HTTPException(403, "wrong ticket")


@staff.on("who", dependencies=[Depends(APIKeyCookie(name="key", auto_error=False))])
async def who() -> Colour:
    return Colour.BLACK


@staff.on("what")
async def what(
    token: Annotated[Optional[str], Depends(OAuth2PasswordBearer("token", scopes={"read": "Reads"}, auto_error=False))],
    other: Annotated[Optional[str], Depends(OpenIdConnect(openIdConnectUrl="https://example.com/", auto_error=False))],
) -> Optional[str]:
    return token or other


@staff.on("*")
async def others() -> None: ...


sio.include_router(staff, prefix="/v1")


@app.get("/")
async def root() -> str:
    return "shop"
