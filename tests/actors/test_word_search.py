from treadle.actors.word_search import WordSearch, words_of

TEXTS = {
    "deploy": "The deployment of the web servers fails at noon.",
    "load": "The load of db-1 is high. The load is high each noon.",
    "disk": "磁盘已满 on db-1, and the Größe is wrong.",
    "long": "noon " + "and so on " * 200,
}


def index(texts: dict[str, str] = TEXTS) -> WordSearch:
    made = WordSearch()
    made.keep({name: (1, [(text, 1)]) for name, text in texts.items()})
    return made


def found(query: str, made: WordSearch | None = None) -> list[str]:
    return [name for name, _ in (made or index()).find(query)]


def test_what_has_the_rarer_word_comes_first() -> None:
    assert found("load noon")[0] == "load"
    assert found("deployment noon")[0] == "deploy"


def test_a_short_text_with_a_word_comes_before_a_long_one_with_it() -> None:
    assert found("noon").index("deploy") < found("noon").index("long")


def test_the_beginning_of_a_word_finds_it_and_the_word_itself_comes_first() -> None:
    assert found("deploy") == ["deploy"]
    assert found("load", index({"a": "loads of things", "b": "a load of things"})) == ["b", "a"]
    assert found("de") == []


def test_case_does_not_count_and_chinese_is_found_by_its_characters() -> None:
    assert found("GRÖSSE") == ["disk"]
    assert found("磁盘") == ["disk"]
    assert words_of("DB-1 磁盘") == ["db", "1", "磁", "盘"]


def test_what_is_not_there_is_not_found() -> None:
    assert found("zebra") == []
    assert found("?!") == []
    assert found("load", WordSearch()) == []


def test_a_new_version_and_a_text_that_is_gone_change_what_is_found() -> None:
    made = index()
    made.keep({"load": (2, [("quiet again", 1)]), "disk": (1, [("not read again: same version", 1)])})
    assert found("high", made) == []
    assert found("quiet", made) == ["load"]
    assert found("wrong", made) == ["disk"]
    assert found("noon", made) == []


def test_a_word_in_a_part_that_counts_more_comes_first() -> None:
    made = WordSearch()
    made.keep({"a": (1, [("load", 1), ("other words", 1)]), "b": (1, [("load", 3), ("other words", 1)])})
    assert found("load", made) == ["b", "a"]
