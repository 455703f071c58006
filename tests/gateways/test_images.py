"""Pictures in prompts: what is taken and what is refused, that models see them, and that they outlive the process."""

import asyncio
import base64
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from treadle import Agent, ConfigError, FunctionModel, Image, Message, ModelReply, RunContext, ToolSpec
from treadle.gateways.images import LIMIT_BYTES, LIMIT_COUNT, LIMIT_TOTAL_BYTES, images_of

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 16
KINDS = {
    "image/png": PNG,
    "image/jpeg": b"\xff\xd8\xff\xe0JFIF",
    "image/gif": b"GIF89a\1\0",
    "image/webp": b"RIFF\x10\0\0\0WEBPVP8 ",
}
LARGE = PNG + b"\0" * (LIMIT_BYTES - len(PNG))
RECORDED = Image(media_type="image/png", data=base64.b64encode(PNG).decode())


@pytest.fixture(autouse=True)
async def closing() -> AsyncIterator[None]:
    yield
    await Agent(model="echo").aclose()


class Watching:
    """Notes what its model is shown."""

    def __init__(self) -> None:
        self.shown: list[list[Message]] = []

    def answer(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> ModelReply:
        self.shown.append(list(messages))
        return ModelReply("A picture.")


@pytest.mark.parametrize(("kind", "data"), KINDS.items(), ids=KINDS)
def test_the_bytes_say_what_kind_of_picture_it_is(kind: str, data: bytes, tmp_path: Path) -> None:
    file = tmp_path / "picture.bmp"
    file.write_bytes(data)
    text = base64.b64encode(data).decode()
    want = Image(media_type=kind, data=text)
    given: list[Image | Path | bytes | str] = [
        file,
        data,
        f"data:image/bmp;base64,{text}",
        Image(data=text, media_type="image/bmp"),
    ]
    assert images_of(given) == (want,) * 4


def test_as_many_bytes_as_a_prompt_may_have_are_taken() -> None:
    assert len(images_of([LARGE] * (LIMIT_TOTAL_BYTES // LIMIT_BYTES))) == 4


def test_an_address_is_recorded_as_it_is() -> None:
    url = "https://example.org/a.png"
    assert images_of([url, Image(url=url)]) == (Image(url=url), Image(url=url))


@pytest.mark.parametrize(
    ("pictures", "why"),
    [
        ([PNG, b"%PDF-1.7"], r"images\[1\] is no PNG, JPEG, GIF or WebP; it begins with b'%PDF-1.7'"),
        ([b""], r"is no PNG"),
        ([PNG + b"\0" * LIMIT_BYTES], r"images\[0\] has more than 5 MB"),
        ([Path("/no/such/file.png")], r"images\[0\] \(/no/such/file.png\): No such file"),
        ([Path("/")], r"Is a directory"),
        (["picture.png"], r"'picture.png' is no http\(s\) address; a file is given as a Path"),
        (["file:///etc/passwd"], r"is no http\(s\) address"),
        (["http://[::1/a.png"], r"is no http\(s\) address"),
        (["data:image/png,abc"], r"a data URL is data:image/png;base64,"),
        (["data:image/png;base64,@@"], r"is no base64"),
        ([Image(data=RECORDED.data, url="https://example.org/a.png")], r"has both data and a url"),
        ([3], r"images\[0\] is int; a picture is a Path, bytes, the text of a URL, or an Image"),
        (PNG, r"images= is a list of pictures, not one bytes; write images=\[…\]"),
        ([LARGE] * 5, r"images= has more than 20 MB in all, with images\[4\] of 5; make them smaller"),
        ([PNG] * (LIMIT_COUNT + 1), r"has 21 pictures; one prompt may have 20"),
    ],
)
async def test_what_is_no_picture_is_refused_and_nothing_is_recorded(pictures: Any, why: str) -> None:
    watching = Watching()
    agent = Agent(model=FunctionModel(watching.answer))
    with pytest.raises(ConfigError, match=why):
        await agent.run("What is this?", images=pictures)
    with pytest.raises(ConfigError, match=why):
        await agent.session("s").start("What is this?", images=pictures)
    assert not watching.shown
    assert not await agent.session("s").history()


async def test_a_model_is_shown_the_pictures_of_its_prompt_and_the_run_records_them() -> None:
    watching = Watching()
    agent = Agent("You look.", model=FunctionModel(watching.answer))
    events = [event async for event in agent.stream("What is this?", images=[PNG])]
    assert watching.shown[0][-1] == Message("user", "What is this?", images=(RECORDED,))
    assert events[0].type == "run.started"
    assert events[0].payload["images"] == [{"media_type": "image/png", "data": RECORDED.data}]


async def test_later_turns_of_a_session_see_them_again_each_at_its_place(tmp_path: Path) -> None:
    watching = Watching()

    def agent() -> Agent:
        return Agent(model=FunctionModel(watching.answer), name="looks", runtime=f"sqlite:{tmp_path}/runs.db")

    async with agent() as first:
        session = first.session("s")
        await session.run("What is this?", images=[PNG])
        await (await session.start("And that?", images=["https://example.org/b.png"])).wait()
    async with agent() as later:  # nothing of it is in memory any more
        await later.run("Which is larger?", session_id="s")
        told = [(message.content, message.images) for message in watching.shown[-1] if message.role == "user"]
        assert told == [
            ("What is this?", (RECORDED,)),
            ("And that?", (Image(url="https://example.org/b.png"),)),
            ("Which is larger?", ()),
        ]
        assert [message.images for message in await later.session("s").history()][::2] == [*(i for _, i in told)]


async def test_a_run_that_another_process_goes_on_with_shows_them_again(tmp_path: Path) -> None:
    watching = Watching()

    async def hangs(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> ModelReply:
        await asyncio.Event().wait()
        raise AssertionError

    def agent(answer: Any) -> Agent:
        return Agent(model=FunctionModel(answer), name="looks", runtime=f"sqlite:{tmp_path}/runs.db")

    async with agent(hangs) as first:
        run = await first.session("s").start("What is this?", images=[PNG])
        async for event in run.events():
            assert event.type == "run.started"
            break
    async with agent(watching.answer) as second:
        assert (await second.resume("s")).run_id == run.id
    assert watching.shown[0][-1].images == (RECORDED,)


@pytest.mark.parametrize(("again", "goes_on"), [(PNG, True), (KINDS["image/gif"], False)], ids=["same", "other"])
async def test_the_same_words_with_other_pictures_are_another_prompt(again: bytes, goes_on: bool) -> None:
    watching = Watching()
    asked = asyncio.Event()

    async def answer(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> ModelReply:
        if not asked.is_set():
            asked.set()
            await asyncio.Event().wait()
        return watching.answer(messages, tools)

    agent = Agent(model=FunctionModel(answer))
    context = RunContext(run_id="first", session_id="s")
    running = asyncio.ensure_future(agent.run("What is this?", context, images=[PNG]))
    await asyncio.wait_for(asked.wait(), 5)
    running.cancel()
    await asyncio.wait((running,))
    result = await agent.run("What is this?", session_id="s", images=[again])
    assert (result.run_id == "first") is goes_on
    assert watching.shown[0][-1].images == images_of([again])
