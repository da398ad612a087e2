"""Strategies: valid content, and what a stranger or a bad disk makes of it."""

import copy
import json

from hypothesis import strategies as st
from references.mutations import mutated

DEEP = 20_000
# Text that JSON takes and nothing in the package expects.
DEEP_LISTS = "[" * DEEP + "]" * DEEP
DEEP_OBJECTS = '{"a":' * DEEP + "1" + "}" * DEEP
HUGE_NUMBER = "9" * 5000
NASTY_TEXT = (DEEP_LISTS, DEEP_OBJECTS, HUGE_NUMBER, "NaN", "-Infinity", "1e999")

NASTY_NUMBERS = (0, -1, 1, 2, 3, 2**31, 2**63, -(2**63), 2**64, 10**30, 10**400)
NASTY_FLOATS = (0.0, -0.0, 0.5, 1e-320, 1e308, -1.5)
NASTY_STRINGS = (
    *("", " ", "a" * 5000, "\0", "\ud800", "naïve 🐈", "\n", "%s{0}", "null"),
    *("../../outside", "/", "/dev/null", "~", ".", "..", "C:\\x", "\\\\host\\x"),
    *("None", "se", "aw_se", "__class__", "__import__('os').system('id')"),
    *("keras>Lambda", "digits", "folder", "float16", "best.keras"),
)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from(NASTY_NUMBERS),
    st.sampled_from(NASTY_FLOATS),
    st.sampled_from(NASTY_STRINGS),
    st.integers(-10, 300),
    st.floats(),
    st.text(max_size=8),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.one_of(st.text(max_size=4), st.just("name")), inner, max_size=3
        ),
    ),
    max_leaves=6,
)


@st.composite
def damaged_bytes(draw, wholes):
    """One of some contents with damages, perhaps cut into another or behind it."""
    content = draw(st.sampled_from(wholes))
    kind = draw(st.sampled_from(("damage", "damage", "damage", "numbers", "join")))
    if kind == "join":
        other = draw(st.sampled_from(wholes))
        place = draw(st.integers(0, len(content)))
        content = content[:place] + other[draw(st.integers(0, len(other))) :]
    elif kind == "numbers":
        content = _with_number(draw, content)
    if kind == "damage" or draw(st.booleans()):
        content = mutated(content, draw(st.integers(0, 2**32)))
    return content


def _with_number(draw, content):
    """A number of a header, where most formats have their sizes, becomes another."""
    width = draw(st.sampled_from((1, 2, 4)))
    place = draw(st.integers(0, min(64, max(len(content) - width, 0))))
    number = draw(st.sampled_from((0, 1, 2, 2**7, 2**8 - 1, 2**15, 2**16 - 1, 2**31)))
    order = draw(st.sampled_from(("little", "big")))
    put = (number % 256**width).to_bytes(width, order)
    return content[:place] + put + content[place + width :]


@st.composite
def damaged_json(draw, wholes):
    """Bytes of JSON: one of some values, with a few places changed."""
    content = copy.deepcopy(draw(st.sampled_from(wholes)))
    for _ in range(draw(st.integers(0, 3))):
        content = _changed(draw, content)
    text = json.dumps(content)
    kind = draw(st.sampled_from(("", "", "", "", "nasty", "twin", "bytes", "other")))
    if kind == "nasty":
        text = _with_nasty_text(draw, text)
    elif kind == "twin" and text.startswith("{") and len(text) > 2:
        key = json.dumps(draw(st.sampled_from(list(content))))
        text = f"{{{key}: {json.dumps(draw(scalars))}, {text[1:]}"
    found = text.encode()
    if kind == "bytes":
        return mutated(found, draw(st.integers(0, 2**32)))
    if kind == "other":
        return draw(st.sampled_from(_other_encodings(text)))
    return found


def _other_encodings(text):
    whole = json.loads(text)
    return (
        text.encode("utf-16"),
        b"\xef\xbb\xbf" + text.encode(),
        json.dumps([whole]).encode(),
        b"",
        b"null",
        b"\xff" * 20,
    )


def _with_nasty_text(draw, text):
    """A word or number of the text becomes what no `json.dumps` writes."""
    nasty = draw(st.sampled_from(NASTY_TEXT))
    places = [place for place, letter in enumerate(text) if letter == ":"]
    if not places:
        return nasty
    place = draw(st.sampled_from(places)) + 1
    end = place
    while end < len(text) and text[end] not in ",}]{[":
        end += 1
    # In place of a value, or before the object that it is, which then is too much.
    return text[:place] + nasty + text[end:]


def _changed(draw, content):
    """With one place of the tree changed."""
    parents = [item for item in _walk(content) if item]
    if not parents:
        return draw(values)
    parent = draw(st.sampled_from(parents))
    keys = list(parent) if isinstance(parent, dict) else range(len(parent))
    key = draw(st.sampled_from(list(keys)))
    kind = draw(st.sampled_from(("value", "value", "value", "drop", "rename", "copy")))
    if kind == "value":
        parent[key] = draw(values)
    elif kind == "drop":
        del parent[key]
    elif kind == "copy":
        parent[key] = copy.deepcopy(draw(st.sampled_from(parents)))
    elif isinstance(parent, dict):
        parent[draw(st.sampled_from(NASTY_STRINGS))] = parent.pop(key)
    else:
        parent.append(parent[key])
    return content


def _walk(content):
    """Every list and dict in a value."""
    left, found = [content], []
    while left:
        item = left.pop()
        if isinstance(item, dict | list):
            found.append(item)
            left.extend(item.values() if isinstance(item, dict) else item)
    return found
