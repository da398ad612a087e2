import io
import re

import numpy as np
import pytest

from keras_attention.reports import (
    Column,
    Facts,
    Figure,
    Figures,
    Gallery,
    Interval,
    Item,
    Page,
    Panel,
    Picture,
    Table,
    Text,
    render,
    themed_figure,
    to_svg,
    write_page,
)
from keras_attention.reports.cells import shown, sort_key

EVIL = "<script>alert('x')</script>"
WIDTHS = {"figsize": (3, 2)}


def png(width=4, height=4):
    image = pytest.importorskip("PIL.Image")
    file = io.BytesIO()
    image.fromarray(np.zeros((height, width, 3), "uint8")).save(file, "PNG")
    return file.getvalue()


def drawing(prefix="curve", title="A curve", label="train"):
    with themed_figure(**WIDTHS) as figure:
        axes = figure.subplots()
        axes.plot([1, 2, 3], [3, 1, 2], "o-", label=label)
        axes.grid(True)
        axes.legend()
        return to_svg(figure, prefix, title)


def page_of(*sections, title="A page"):
    return Page(title, ("What came out.",), sections)


def whole_page(text="words"):
    panel = Panel(text, text, (Picture(png(), text),))
    table = Table(text, (Column(text, text, numeric=False),), ((text,),), text)
    return page_of(
        table,
        Figure(text, drawing("one", text, text), text),
        Figures(text, (Figure(text, drawing("two"), text),)),
        Text(text, (text,)),
        Facts(text, {text: text}),
        Gallery(text, (Item(png(), text, (panel,)),), text),
        title=text,
    )


def test_markup_in_every_text_is_escaped():
    html = render(whole_page(EVIL))
    assert EVIL not in html
    assert html.count("<script>") == 1  # the page's own
    assert "&lt;script&gt;" in html


def test_quotes_stay_inside_attributes():
    html = render(whole_page('" onclick="alert(1)'))
    assert not re.search(r"<[^<>]*\" onclick=\"", html)


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        (None, ("–", "")),
        ("SE", ("SE", "")),
        (1276540, ("1,276,540", "")),
        (np.int64(1234), ("1,234", "")),
        (1234.5678, ("1,234.57", "")),
        (-0.5, ("−0.50", "")),
        (np.float32(0.5), ("0.50", "")),
        (Interval(71.234, 0.456), ("71.23", "± 0.46")),
        (Interval(71.234, None), ("71.23", "one run")),
    ],
)
def test_a_cell_is_written_as(cell, expected):
    assert shown(cell, Column("top-1")) == expected


def test_digits_are_the_columns():
    assert shown(41.26, Column("epoch", digits=1)) == ("41.3", "")
    assert shown(Interval(41.26, 1.0), Column("epoch", digits=0)) == ("41", "± 1")


def test_numbers_are_sorted_by_their_value_not_by_what_is_shown():
    column = Column("top-1", digits=0)
    assert float(sort_key(Interval(71.234, 3.0), column)) == 71.234
    assert float(sort_key(1276540, column)) == 1276540
    assert sort_key(None, column) == sort_key(float("nan"), column) == ""


def test_a_cell_of_another_type_is_an_error():
    table = Table("t", (Column("c"),), (([1, 2],),))
    with pytest.raises(TypeError, match="str, an int, a float, None or an Interval"):
        render(page_of(table))


def test_a_row_of_another_length_is_an_error():
    columns = (Column("a"), Column("b"))
    with pytest.raises(ValueError, match=r"Row 2 of the table 't' has 1 cells for 2"):
        Table("t", columns, ((1, 2), (3,)))


def test_a_picture_that_is_no_png_is_an_error():
    with pytest.raises(ValueError, match="PNG file's bytes are needed for the picture"):
        Picture(b"\xff\xd8\xff", "map")
    with pytest.raises(ValueError, match="for the image 'cat'"):
        Item(b"", "cat", ())


def test_a_figure_that_is_no_svg_is_an_error():
    with pytest.raises(ValueError, match="needs an <svg> element"):
        Figure("f", "<img src='x.png'>")


def test_a_section_of_another_type_is_an_error():
    with pytest.raises(TypeError, match="A section is one of Table"):
        render(page_of("text"))


def test_small_pictures_are_pixelated_and_large_ones_are_not():
    def classes(size):
        gallery = Gallery("g", (Item(png(size, size), "cat", ()),))
        return 'class="pixelated"' in render(page_of(gallery))

    assert classes(32)
    assert not classes(224)


def test_two_figures_with_the_same_ids_are_an_error():
    figures = Figures("f", (Figure("a", drawing()), Figure("b", drawing())))
    with pytest.raises(ValueError, match="ids of its own"):
        render(page_of(figures))


def test_ids_of_a_page_are_unique_and_every_reference_has_its_target():
    html = render(whole_page())
    ids = re.findall(r'\sid="([^"]+)"', html)
    assert len(ids) == len(set(ids))
    used = re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)|aria-\w+by="([^"]+)"', html)
    assert len(used) > 10
    assert {name for each in used for name in each if name} <= set(ids)


def test_every_id_of_a_drawing_has_its_prefix():
    ids = re.findall(r'\sid="([^"]+)"', drawing("loss"))
    assert len(ids) > 10
    assert all(each == "loss" or each.startswith("loss-") for each in ids)


@pytest.mark.parametrize("prefix", ["", "1st", "a b", 'a"b', "é"])
def test_another_prefix_is_an_error(prefix):
    with pytest.raises(ValueError, match="A prefix of ids is a letter"):
        drawing(prefix)


def test_a_drawing_is_an_element_with_a_title_and_text():
    svg = drawing(title="Loss < 1 & falling", label="R & D")
    assert svg.startswith('<svg id="curve" role="img"')
    assert '<title id="curve-title">Loss &lt; 1 &amp; falling</title>' in svg
    assert ">R &amp; D</text>" in svg
    assert "<metadata" not in svg
    assert "<style" not in svg


def test_a_drawing_is_the_same_each_time():
    assert drawing() == drawing()


def test_what_has_no_colour_of_its_own_follows_the_page():
    svg = drawing()
    texts = re.findall(r"<text [^>]*>", svg)
    assert texts
    assert all("fill: currentColor" in each for each in texts)
    # Axes, ticks and grid: no black, and no white ground.
    assert not re.search(r"#0{6}|#010203|#f{6}", svg)
    assert re.search(r"stroke: currentColor;[^\"]*stroke-opacity: 0.15", svg)


def test_matplotlibs_settings_are_left_alone():
    matplotlib = pytest.importorskip("matplotlib")
    with matplotlib.rc_context({"font.size": 31, "svg.fonttype": "path"}):
        before = dict(matplotlib.rcParams)
        drawing()
        assert dict(matplotlib.rcParams) == before


def test_a_page_names_no_address_on_the_network():
    assert not re.findall(r"(?:https?:)?//[\w.]+\.\w+", render(whole_page()))


def test_a_page_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "report.html"
    write_page(whole_page(), path)
    before = path.read_text(encoding="utf-8")
    assert before == render(whole_page())
    assert before.endswith("</html>\n")
    with pytest.raises(TypeError):
        write_page(page_of("no section"), path)
    assert path.read_text(encoding="utf-8") == before
    assert [each.name for each in tmp_path.iterdir()] == ["report.html"]
