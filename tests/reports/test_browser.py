"""The page in a real browser: it is read, sorted, opened and looked at."""

import io
import re
import shutil

import numpy as np
import pytest

from keras_attention.reports import (
    Column,
    Facts,
    Figure,
    Gallery,
    Interval,
    Item,
    Page,
    Panel,
    Picture,
    Table,
    Text,
    themed_figure,
    to_svg,
    write_page,
    write_report,
)

playwright = pytest.importorskip(
    "playwright.sync_api", reason="playwright is not installed"
)
CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium on PATH; `make browser` installs Debian's"
)

ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}
VARIANTS = ("none", "SE", "AW-SE")
LABELS = ("Grad-CAM", "stage 3")
ROWS = (
    ("none", Interval(9.5, 0.2), 272474, "a baseline"),
    ("SE", None, 1275546, None),
    ("ECA", Interval(93.1, None), 9, "one seed"),
    ("AW-SE", Interval(10.25, 3.0), 40000, "a remark that is long " * 4),
)


def png(value):
    image = pytest.importorskip("PIL.Image")
    file = io.BytesIO()
    image.fromarray(np.full((8, 8, 3), value, "uint8")).save(file, "PNG")
    return file.getvalue()


def drawing():
    with themed_figure(figsize=(8, 3)) as figure:
        axes = figure.subplots()
        axes.plot([1, 2, 3], [3, 1, 2], label="train")
        axes.set_xlabel("epoch")
        axes.legend()
        return to_svg(figure, "curve", "A curve")


def items(count):
    def panel(name, k):
        pictures = tuple(Picture(png(90 + k), label) for label in LABELS)
        return Panel(name, f"{name} says {k}", pictures)

    for k in range(count):
        yield Item(png(40 * k), f"image {k}", tuple(panel(v, k) for v in VARIANTS))


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    columns = (
        Column("variant", numeric=False),
        Column("top-1", "%"),
        Column("parameters"),
        Column("remark", numeric=False),
    )
    sections = (
        Table("Accuracy", columns, ROWS, "A note."),
        Figure("Curves", drawing(), "A caption."),
        Gallery("Maps", tuple(items(3)), "Click an image."),
        Text("How", ("In words. " * 30,)),
        Facts("Settings", {"command": "x" * 200}),
    )
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_page(Page("A report", ("What came out.",), sections), path)
    return path.as_uri()


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def opened(browser, address):
    """Open the page: `opened(viewport=…, color_scheme=…)`; closed after the test."""
    contexts, faults = [], []

    def open_page(address=address, **options):
        contexts.append(browser.new_context(**({"viewport": DESKTOP} | options)))
        page = contexts[-1].new_page()
        page.on(
            "console",
            lambda said: faults.append(said.text) if said.type == "error" else None,
        )
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on(
            "request",
            lambda request: (
                None
                if request.url == address or request.url.startswith("data:")
                else faults.append(request.url)
            ),
        )
        page.goto(address)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not faults, "errors, or requests beyond the file itself"


def column(page, number):
    return page.locator(f"tbody tr > :nth-child({number})").all_inner_texts()


def test_the_page_loads_without_errors_and_requests(opened):
    page = opened()
    assert page.title() == "A report"
    headings = page.locator("main h2").all_inner_texts()
    assert headings == ["Accuracy", "Curves", "Maps", "How", "Settings"]
    assert page.locator("nav a").all_inner_texts() == headings


def test_the_policy_forbids_what_the_page_does_not_need(opened, browser, address):
    page = opened()
    policy = page.locator("meta[http-equiv]").get_attribute("content")
    assert "default-src 'none'" in policy
    assert not re.search(r"https?:|\*|script-src[^;]*unsafe", policy)


def test_a_click_sorts_by_number_and_a_second_one_reverses(opened):
    page = opened()
    head = page.get_by_role("button", name="parameters")
    head.click()
    assert column(page, 3) == ["9", "40,000", "272,474", "1,275,546"]
    cell = page.locator("th", has=head)
    assert cell.get_attribute("aria-sort") == "ascending"
    head.click()
    assert column(page, 3) == ["1,275,546", "272,474", "40,000", "9"]
    assert cell.get_attribute("aria-sort") == "descending"


def test_intervals_sort_by_their_mean_with_the_unknown_last(opened):
    page = opened()
    head = page.get_by_role("button", name="top-1")
    head.click()
    assert column(page, 1) == ["none", "AW-SE", "ECA", "SE"]
    head.click()
    assert column(page, 1) == ["ECA", "AW-SE", "none", "SE"]


def test_words_sort_by_the_keyboard_and_one_column_is_marked(opened):
    page = opened()
    page.get_by_role("button", name="parameters").click()
    page.get_by_role("button", name="variant").focus()
    page.keyboard.press("Enter")
    assert column(page, 1) == ["AW-SE", "ECA", "none", "SE"]
    assert page.locator("[aria-sort]").all_inner_texts() == ["variant"]


def test_an_image_opens_with_a_panel_for_each_variant(opened):
    page = opened()
    page.get_by_role("button", name="image 1").click()
    viewer = page.locator("dialog")
    assert viewer.is_visible()
    assert viewer.locator("h2").inner_text() == "image 1"
    assert viewer.locator(".panel h3").all_inner_texts() == list(VARIANTS)
    said = [f"{name} says 1" for name in VARIANTS]
    assert viewer.locator(".panel p").all_inner_texts() == said
    for k in range(len(VARIANTS)):
        captions = viewer.locator(".panel").nth(k).locator("figcaption")
        assert captions.all_inner_texts() == list(LABELS)
    tops = {panel.bounding_box()["y"] for panel in viewer.locator(".panel").all()}
    assert len(tops) == 1, "side by side"
    image = viewer.locator(".large img")
    assert image.bounding_box()["width"] > 8
    rendering = image.evaluate("each => getComputedStyle(each).imageRendering")
    assert rendering == "pixelated"


def test_arrow_keys_and_buttons_step_and_escape_closes(opened):
    page = opened()
    page.get_by_role("button", name="image 1").click()
    heading = page.locator("dialog h2")
    page.keyboard.press("ArrowRight")
    assert heading.inner_text() == "image 2"
    page.keyboard.press("ArrowRight")
    assert heading.inner_text() == "image 0"
    page.keyboard.press("ArrowLeft")
    assert heading.inner_text() == "image 2"
    page.get_by_role("button", name="Previous image").click()
    assert heading.inner_text() == "image 1"
    page.get_by_role("button", name="Next image").click()
    assert page.locator("dialog .panel p").first.inner_text() == "none says 2"
    page.keyboard.press("Escape")
    assert not page.locator("dialog").is_visible()
    focused = page.evaluate("document.activeElement.textContent.trim()")
    assert focused == "image 2"


def test_a_phone_does_not_scroll_sideways(opened):
    page = opened(viewport=PHONE)
    width = "document.documentElement.scrollWidth"
    assert page.evaluate(width) <= PHONE["width"]
    inner = page.locator(".scroll").evaluate_all(
        "all => all.map(each => each.scrollWidth > each.clientWidth)"
    )
    assert inner == [True, True], "the table and the figure scroll by themselves"
    page.get_by_role("button", name="image 0").click()
    assert page.evaluate(width) <= PHONE["width"]
    body = page.locator(".viewer-body")
    assert body.evaluate("each => each.scrollWidth <= each.clientWidth")


def test_names_of_rows_stay_in_sight_while_a_table_scrolls(opened):
    page = opened(viewport=PHONE)
    page.locator(".scroll").first.evaluate("each => { each.scrollLeft = 100; }")
    for place in ("thead th:first-child button", "tbody th"):
        on_top = page.locator(place).first.evaluate(
            """each => {
                const {x, y, width, height} = each.getBoundingClientRect();
                const [left, top] = [x + width / 2, y + height / 2];
                return left > 0 && document.elementFromPoint(left, top) === each;
            }"""
        )
        assert on_top, place


def test_printed_each_image_has_its_answers(opened):
    page = opened()
    answers = page.locator(".answers").first
    assert not answers.is_visible()
    page.emulate_media(media="print")
    assert answers.inner_text().split("\n")[:2] == ["none", "none says 0"]


def test_the_report_of_a_study_is_sorted_and_opened(opened, study, tmp_path):
    path = write_report(study, out=tmp_path / "study.html", images=2, verbose=0)
    page = opened(path.as_uri(), viewport=PHONE)
    head = page.get_by_role("button", name="trainable parameters")
    names = ["cnn3-none", "cnn3-series"]
    for expected in (names, names[::-1]):
        head.click()
        assert column(page, 1) == expected
    page.get_by_role("button", name="1", exact=True).click()
    viewer = page.locator("dialog")
    assert viewer.locator(".panel h3").all_inner_texts() == names
    series = viewer.locator(".panel").nth(1).locator("figcaption")
    assert series.all_inner_texts()[1:3] == [
        "occlusion",
        "stage1_block1_attention, spatial",
    ]
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground(opened, scheme):
    page = opened(color_scheme=scheme)
    ground = colour(page.locator("body"), "backgroundColor")
    assert (luminance(ground) < 0.5) == (scheme == "dark")
    places = ("main p", ".lead", "h1", ".note", "figcaption", "nav a", "td", ".caption")
    for place in (*places, "td small", ".facts dt", "thead button"):
        found = contrast(colour(page.locator(place).first, "color"), ground)
        assert found >= 4.5, (place, found)
    texts = page.locator("main svg text").all()
    assert len(texts) > 5
    for text in texts:
        assert contrast(colour(text, "fill"), ground) >= 4.5, text.text_content()


def colour(locator, name):
    shown = locator.evaluate(f"each => getComputedStyle(each).{name}")
    numbers = [float(each) for each in re.findall(r"[\d.]+", shown)]
    assert len(numbers) == 3, f"an opaque colour is needed, not {shown}"
    return numbers


def contrast(one, other):
    """WCAG 2.2's contrast ratio of two sRGB colours."""
    low, high = sorted([luminance(one), luminance(other)])
    return (high + 0.05) / (low + 0.05)


def luminance(colour):
    c = np.array(colour) / 255
    linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])
