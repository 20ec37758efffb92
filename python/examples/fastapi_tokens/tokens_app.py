"""An answer that arrives word by word, and can be stopped: events with models, dependencies and background tasks.

    uvicorn tokens_app:app

The events: http://127.0.0.1:8000/asyncdocs, and for TypeScript: python -m kokanee typescript tokens_app:app
"""

import asyncio
import pathlib
import time
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import BackgroundTasks, Depends, FastAPI, HTTPException
from fastapi.responses import FileResponse
from pydantic import BaseModel, Field

from kokanee.fastapi import Event, Socket, SocketIO

HERE = pathlib.Path(__file__).parent
MOST_ANSWERS = 3
#: Seconds between two words.
PACE = 0.06

app = FastAPI(title="Word by word")
sio = SocketIO(app)


# What is said.


class Prompt(BaseModel):
    """A question."""

    text: str = Field(min_length=1, max_length=400)


class Started(BaseModel):
    """Says that an answer is on its way."""

    answer: int


class Token(BaseModel):
    """The next piece of an answer."""

    answer: int
    text: str


class Finished(BaseModel):
    """Says that an answer is complete, or was stopped."""

    answer: int
    words: int
    seconds: float
    stopped: bool


token: Event[Token] = sio.emits("token", Token, description="The next piece of an answer.")
finished: Event[Finished] = sio.emits("finished", Finished, description="Nothing more comes of an answer.")


# The answers of a client.


class Answers:
    """Is the answers that are on their way to a client: each is stopped by its event."""

    def __init__(self) -> None:
        self.running: dict[int, asyncio.Event] = {}
        self._count = 0

    def start(self) -> int:
        """Returns the number of a new answer. Raises what the client is told if there are too many."""
        if len(self.running) >= MOST_ANSWERS:
            raise HTTPException(429, f"{MOST_ANSWERS} answers are on their way: wait for one, or stop it")
        self._count += 1
        self.running[self._count] = asyncio.Event()
        return self._count

    def stop(self, number: int) -> bool:
        """Stops an answer. Returns whether it was on its way."""
        stopped = self.running.get(number)
        if stopped is not None:
            stopped.set()
        return stopped is not None


async def answers_of(socket: Socket) -> Answers:
    """Returns the answers of the client: a dependency."""
    answers: Answers = socket.data.setdefault("answers", Answers())
    return answers


CurrentAnswers = Annotated[Answers, Depends(answers_of)]


@sio.on("ask")
async def ask(socket: Socket, prompt: Prompt, answers: CurrentAnswers, tasks: BackgroundTasks) -> Started:
    """Begins to answer a question: `token` events follow, and `finished`."""
    number = answers.start()
    tasks.add_task(stream, socket, answers, number, prompt.text)
    return Started(answer=number)


@sio.on("stop")
async def stop(answer: int, answers: CurrentAnswers) -> bool:
    """Stops an answer that is on its way."""
    return answers.stop(answer)


@sio.on("disconnect")
async def disconnect(answers: CurrentAnswers) -> None:
    for number in answers.running:
        answers.stop(number)


async def stream(socket: Socket, answers: Answers, number: int, prompt: str) -> None:
    """Sends the words of an answer as they come."""
    begin, words = time.monotonic(), 0
    stopped = answers.running[number]
    try:
        async for word in words_of(prompt):
            if stopped.is_set():
                break
            await token.emit(Token(answer=number, text=word), to=socket)
            words += 1
    finally:
        del answers.running[number]
    seconds = round(time.monotonic() - begin, 1)
    await finished.emit(Finished(answer=number, words=words, seconds=seconds, stopped=stopped.is_set()), to=socket)


# What would be a language model.

TEXTS = {
    "kokanee": "A kokanee is a sockeye salmon that never goes to sea. It spends its whole life in fresh water, in cold and deep "
    "lakes, and lives on plankton. In its last autumn it turns red, swims up a stream and spawns where it was hatched.\n\n"
    "This Kokanee is a server for Socket.IO. Its engine is written in Rust, and the handlers of this page in Python.",
    "stream": "Each word that you see is an event of its own. The server emits it as soon as it has it, so the first one is here "
    "long before the last one is written.\n\nThe answer to your question came at once: it is the acknowledgement of the event "
    "that asked, and says only that an answer begins. The words follow in a background task, which looks before each of "
    "them whether you have pressed Stop.",
    "": "I am not a language model, only a page that shows how an answer arrives word by word. Ask me about kokanee, or how "
    "streaming works.\n\nWhere a real model would be there is one function, which yields words. Put yours in its place: "
    "everything else stays as it is, with the check of what was asked, the limit on answers at a time, and the Stop button.",
}


async def words_of(prompt: str) -> AsyncIterator[str]:
    """Gives the words of an answer."""
    text = next(text for topic, text in TEXTS.items() if topic in prompt.lower())
    for word in text.split(" "):
        await asyncio.sleep(PACE)
        yield f"{word} "


# The page.


@app.get("/", include_in_schema=False)
async def page() -> FileResponse:
    return FileResponse(HERE / "index.html")


@app.get("/socket.io.min.js", include_in_schema=False)
async def script() -> FileResponse:
    return FileResponse(HERE.parent / "page" / "socket.io.min.js")
