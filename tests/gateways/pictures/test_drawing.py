"""Mermaid, SVG and PNG of any picture."""

import re
import struct
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from drawings import LABELS, counted_in_mermaid, counted_in_svg, pictures
from hypothesis import given, settings

from treadle import ConfigError
from treadle.gateways.pictures.files import written
from treadle.pictures import Picture, PictureEdge, PictureNode, mermaid_of, png_of, svg_of

TWO = Picture((PictureNode("a", "one", "agent"), PictureNode("b", "two", "tool")), (PictureEdge("a", "b", "asks"),))


@settings(max_examples=60, deadline=None)
@given(pictures())
def test_whatever_the_labels_the_mermaid_has_as_many_nodes_and_edges_as_the_picture(picture: Picture) -> None:
    assert counted_in_mermaid(mermaid_of(picture)) == (len(picture.nodes), len(picture.edges))


@settings(max_examples=40, deadline=None)
@given(pictures())
def test_whatever_the_labels_the_svg_is_xml_and_has_as_many_nodes_and_edges_as_the_picture(picture: Picture) -> None:
    assert counted_in_svg(svg_of(picture)) == (len(picture.nodes), len(picture.edges))


@settings(max_examples=40, deadline=None)
@given(LABELS)
def test_no_label_begins_a_directive_a_comment_or_html(label: str) -> None:
    text = mermaid_of(Picture((PictureNode("a", label, "agent"),)))
    assert not [each for each in ("%%", "<b>", "`", "\u202e", "---") if each in text]
    text.encode()


@pytest.mark.parametrize(
    ("label", "shown"),
    [
        ('say "hi"', "say #34;hi#34;"),
        ("a#b", "a#35;b"),
        ("x]; end\nn9", "x#93;#59; end<br/>n9"),
        ("look_up v1.2", "look_up v1.2"),
        ("1. first", "1#46; first"),
        ("$0.0042", "$0.0042"),
        ("$$x$$", "#36;#36;x#36;#36;"),
        ("prüfen 検査", "prüfen 検査"),
        ("a\x00b\ud800", "a\ufffdb\ufffd"),
        ("", " "),
    ],
)
def test_a_label_in_mermaid_reads_as_it_was_written(label: str, shown: str) -> None:
    assert f'n0["{shown}"]' in mermaid_of(Picture((PictureNode("a", label, "agent"),)))


def test_long_labels_are_cut() -> None:
    text = mermaid_of(Picture((PictureNode("a", "\n".join(["x" * 1000] * 1000), "agent"),)))
    assert len(text) < 400
    assert "…" in text


def test_texts_of_an_svg_are_escaped() -> None:
    root = ElementTree.fromstring(svg_of(Picture((PictureNode("a", '<script>&"', "agent"),))))
    texts = [each.text for each in root.iter("{http://www.w3.org/2000/svg}text")]
    assert texts == ['<script>&"']


def test_boxes_of_an_svg_do_not_overlap() -> None:
    nodes = tuple(PictureNode(str(at), f"node {at}\nsecond line", "tool") for at in range(30))
    edges = tuple(PictureEdge(str(at), str((at * 7 + 3) % 30)) for at in range(30))
    boxes = _boxes(svg_of(Picture(nodes, edges)))
    assert len(boxes) == 30
    for at, (x, y, width, height) in enumerate(boxes):
        for left, top, wide, high in boxes[:at]:
            assert x + width <= left or left + wide <= x or y + height <= top or top + high <= y


@settings(max_examples=40, deadline=None)
@given(pictures())
def test_nothing_reaches_out_of_an_svg(picture: Picture) -> None:
    root = ElementTree.fromstring(svg_of(picture))
    height, width = float(root.attrib["height"]), float(root.attrib["width"])
    numbers = [
        [float(each) for each in re.findall(r"-?[0-9.]+", path.attrib["d"])]
        for path in root.iterfind("{http://www.w3.org/2000/svg}path")
    ]
    assert all(0 <= x <= width for path in numbers for x in path[::2])
    assert all(0 <= y <= height for path in numbers for y in path[1::2])


def test_an_arrow_passes_no_box_that_it_does_not_lead_to() -> None:
    nodes = tuple(PictureNode(each, each, "function") for each in "abcd")
    svg = svg_of(Picture(nodes, tuple(PictureEdge(each[0], each[1]) for each in ("ab", "bc", "cd", "ad", "db"))))
    boxes = _boxes(svg)
    root = ElementTree.fromstring(svg)
    ways = [path.attrib["d"] for path in root.iterfind("{http://www.w3.org/2000/svg}path")]
    points = [(float(x), float(y)) for way in ways for x, y in re.findall(r" L([0-9.]+) ([0-9.]+)", way)]
    assert len(points) == 3  # a to d passes two columns, d to b one
    for x, y in points:
        assert not [box for box in boxes if box[0] <= x <= box[0] + box[2] and box[1] <= y <= box[1] + box[3]]


def test_a_long_chain_is_drawn() -> None:
    nodes = tuple(PictureNode(str(at), str(at), "function") for at in range(1500))
    edges = tuple(PictureEdge(str(at), str(at + 1)) for at in range(1499))
    assert counted_in_svg(svg_of(Picture(nodes, edges))) == (1500, 1499)


def _boxes(svg: str) -> list[tuple[float, float, float, float]]:
    rects = ElementTree.fromstring(svg).iterfind("{http://www.w3.org/2000/svg}g/{http://www.w3.org/2000/svg}rect")
    return [
        (float(each.attrib["x"]), float(each.attrib["y"]), float(each.attrib["width"]), float(each.attrib["height"]))
        for each in rects
    ]


# --- PNG -------------------------------------------------------------------------------------------------------------


def test_a_png_has_its_signature_and_the_size_of_the_svg_twice() -> None:
    root = ElementTree.fromstring(svg_of(TWO))
    data = png_of(TWO)
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", data[16:24])
    assert abs(width - 2 * float(root.attrib["width"])) <= 2
    assert abs(height - 2 * float(root.attrib["height"])) <= 2


def test_a_png_shows_its_labels() -> None:
    blank = Picture((PictureNode("a", " " * 3, "agent"), PictureNode("b", "", "tool")))
    told = Picture((PictureNode("a", "abc", "agent"), PictureNode("b", "def", "tool")))
    assert len(png_of(told)) > len(png_of(blank)) + 200


def test_a_picture_that_is_too_large_is_drawn_smaller() -> None:
    nodes = tuple(PictureNode(str(at), str(at), "function") for at in range(150))
    edges = tuple(PictureEdge(str(at), str(at + 1)) for at in range(149))
    width, _ = struct.unpack(">II", png_of(Picture(nodes, edges))[16:24])
    assert width <= 8000


def test_without_its_extra_a_png_is_refused_and_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    with pytest.raises(ConfigError, match=r'pip install "treadle\[pictures\]"'):
        written(TWO, tmp_path / "team.png")
    assert not list(tmp_path.iterdir())


# --- files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "begins"),
    [("a.mmd", b"flowchart"), ("a.md", b"```mermaid\n"), ("a.svg", b"<svg "), ("a.PNG", b"\x89PNG")],
)
def test_a_file_is_what_its_ending_says(name: str, begins: bytes, tmp_path: Path) -> None:
    assert written(TWO, tmp_path / name) == mermaid_of(TWO)
    assert (tmp_path / name).read_bytes().startswith(begins)


@pytest.mark.parametrize("name", ["a.jpg", "a", "a.svg.txt"])
def test_any_other_ending_is_refused_by_a_list_of_those_that_there_are(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"\.mmd, \.md, \.svg, \.png"):
        written(TWO, str(tmp_path / name))
    assert not list(tmp_path.iterdir())
