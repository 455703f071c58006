"""The vector store in memory over hashed words: what is near, whose it is, and the same in every process."""

import asyncio
import subprocess
import sys

import pytest

from treadle import ConfigError, HashEmbedder
from treadle.vectorstore import Chunk, InMemoryVectorStore

TIDES = Chunk("Tides follow the moon.", {"user_id": "ann"})
BREAD = Chunk("Bread wants time and salt.", {"user_id": "ann"})
MOONS = Chunk("The moon of another user.", {"user_id": "bob"})


async def store() -> InMemoryVectorStore:
    made = InMemoryVectorStore(embedder=HashEmbedder())
    await made.add([TIDES, BREAD, MOONS], ["tides", "bread", "moons"])
    return made


async def test_the_nearest_comes_first_and_filters_keep_others_out() -> None:
    found = await (await store()).search("Why does the tide follow a moon?", k=2, filter={"user_id": "ann"})
    assert [result.id for result in found] == ["tides", "bread"]
    assert found[0].score > 2 * found[1].score


async def test_the_same_text_is_as_near_as_can_be() -> None:
    (found,) = await (await store()).search(BREAD.content, k=1)
    assert (found.chunk, round(found.score, 6)) == (BREAD, 1.0)


async def test_a_chunk_under_a_known_id_replaces_the_one_before() -> None:
    made = await store()
    assert await made.add([Chunk("Rye.")], ["bread"]) == ["bread"]
    await made.delete(["moons", "unknown"])
    assert await made.count() == 2
    assert await made.get_by_ids(["moons", "bread"]) == [Chunk("Rye.")]


async def test_chunks_without_ids_are_given_their_own() -> None:
    made = InMemoryVectorStore()
    assert len({*await made.add([TIDES, BREAD]), *await made.add([MOONS])}) == await made.count() == 3
    with pytest.raises(ConfigError, match="1 chunks and 2 ids"):
        await made.add([TIDES], ["a", "b"])


def test_another_process_makes_the_same_vector() -> None:
    code = "import asyncio; from treadle import HashEmbedder; print(asyncio.run(HashEmbedder(8).embed('Spring tide')))"
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert there.strip() == str(asyncio.run(HashEmbedder(8).embed("Spring tide")))
