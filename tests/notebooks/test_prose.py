"""A lesson's words name no measured number: what runs computes it, or it is the paper's, a setting or a reference."""

import ast
import re
from collections.abc import Iterator

import pytest
from lessons import LESSONS, Lesson, read_lesson

from bfkit import paper, stats
from bfkit.study.analysis import JND

NUMBER = re.compile(r"(?<![\w.,])\d+(?:,\d{3})*(?:\.\d+)?(?P<percent> ?%)?(?!\w)")
ONE = r"\[?\d+(?:\.\d+)*[a-z]?\]?(?:\([^)]*\))?"
NOT_MEASURED = tuple(
    re.compile(pattern, re.DOTALL)
    for pattern in (
        r"```.*?```", r"`[^`]*`", r"\$\$.*?\$\$", r"\$[^$]*\$",  # code and formulas
        r"\[[^\]]*\]\([^)]*\.ipynb\)",
        r"\]\([^)]*\)", r"https?://\S+", r"arXiv:?\s*\d+\.\d+",  # where a link leads
        r"(?m)^#+ \d+(?:\.| ·)", r"(?m)^\d+\. ", r"\*\*Minutes\*\* \d+",  # headings, lists, how long it takes
        rf"\b(?:Eqs?\.|Equations?|Sections?|Figures?|Fig\.|Tables?|[Ll]essons?|[Cc]ells?|[Rr]ows?|ref\.)\s+{ONE}"
        rf"(?:(?:,| and| to|-| or)\s*{ONE})*",  # references
        r"\b(?:Stable Diffusion|SD|COCO|FLUX|PixArt|Kandinsky|RTX)[ -]\d+(?:\.\d+)?",  # names
    )
)  # fmt: skip
# not measured but defined: the ends of a share, where a guess and a JND lie, how sure an interval is
DEFINED = {0.0, 1.0, 0.5, JND, 1 - JND, stats.interval.__kwdefaults__["level"]}


def flat(value: object) -> Iterator[float]:
    """All numbers in a constant of ``bfkit.paper``."""
    if isinstance(value, int | float):
        yield float(value)
    elif isinstance(value, tuple):
        for one in value:
            yield from flat(one)
    elif hasattr(value, "items"):
        for key, one in value.items():  # pyright: ignore
            yield from flat(key)
            yield from flat(one)


RANGE = re.compile(r"(\d[\d.]*)( to | and | or )(\d[\d.]* ?%)")  # 6 to 8% are two shares


def papers(lesson: Lesson) -> set[float]:
    """The numbers of the paper that the lesson's code asks ``bfkit.paper`` for."""
    nodes = (node for tree in lesson.code.values() for node in ast.walk(tree))
    asked = {node.attr for node in nodes if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "paper"}
    return {number for name in asked for number in flat(getattr(paper, name))}


def strings(tree: ast.Module) -> Iterator[str]:
    """What code cells say in words: titles and captions, without what is computed in them and how it is formatted."""
    formats = {id(part) for node in ast.walk(tree) if isinstance(node, ast.FormattedValue) and node.format_spec
               for part in ast.walk(node.format_spec)}  # fmt: skip
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in formats:
            yield re.sub(r"\{[^}]*\}", "", node.value)


def settings(lesson: Lesson) -> set[float]:
    """The numbers that stand in the lesson's code, other than in its words."""
    nodes = (node for tree in lesson.code.values() for node in ast.walk(tree))
    return {float(node.value) for node in nodes if isinstance(node, ast.Constant) and type(node.value) in (int, float)}


def unexplained(text: str, own: set[float], published: set[float]) -> list[str]:
    """The numbers of a text that could have been measured; those of code that it prints are its settings."""
    own = own | {float(number) for span in re.findall(r"`[^`]*`", text) for number in re.findall(r"[\d.]*\d", span)}
    for pattern in NOT_MEASURED:
        text = pattern.sub(" ", text)
    found = []
    text = RANGE.sub(r"\1%\2\3", text)
    for match in NUMBER.finditer(text):
        value = float(match[0].rstrip(" %").replace(",", ""))
        if match["percent"]:
            known = any(abs(value / 100 - one) < 1e-9 for one in (*DEFINED, *published, *own))
            known |= value in published
        else:
            known = value in published | own | {0.0, 1.0}
        if not known:
            found.append(match[0])
    return found


def wrong_in(lesson: Lesson) -> list[str]:
    own, published = settings(lesson), papers(lesson)
    texts = [(number, text) for number, text in lesson.prose.items()]
    texts += [(number, text) for number, tree in lesson.code.items() for text in strings(tree)]
    return [f"{lesson.name}, cell {number}: {one} in “{' '.join(text.split())[:90]} …”"
            for number, text in sorted(texts) for one in unexplained(text, own, published)]  # fmt: skip


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_no_measured_number_stands_in_a_lessons_words(path):
    wrong = wrong_in(read_lesson(path))
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("prose", "found"),
    [
        ("OURS saves 12% of the steps.", ["12%"]),
        ("A rank correlation of 0.03 is nothing, 1,234 pictures are much.", ["0.03", "1,234"]),
        ("By 17 steps all is done, see Eq. 7 and Figures 8a and 9.", ["17"]),
        ("It gains between 3 and 4 points (lesson 07).", ["3", "4"]),
        ("95% intervals; 50% is a guess, 75% one JND; from 0 to 1, at 65 steps; 6.6% in the paper.", []),
        (
            "## 3. The clock\n\n1. First\n$10^{12}$ of `size=40`, [lesson 12](12_gallery.ipynb), Stable Diffusion 2",
            [],
        ),
        ("Of 20 prompts 4% are lost.", []),  # settings of the code below
        ("Of 4 prompts 20% are lost.", ["4", "20%"]),
    ],
)
def test_a_number_that_nothing_computes_is_found_and_what_is_no_measurement_is_not(prose, found):
    code = "prompts = 20\nshare = 0.04\nprint(f'{prompts:.3f}', paper.REFERENCE_STEPS, paper.RELATIVE_QUALITY)"
    lesson = Lesson("00_test", {0: prose}, {1: ast.parse(code)})
    assert unexplained(prose, settings(lesson), papers(lesson)) == found


def test_titles_and_captions_are_words_too_and_what_they_compute_is_not():
    code = (
        "title = f'OURS saves {saved:.1%}, 12% more'\ntitle2 = 'a {0:.3f} of 7'.format(x)\nform = '+.1%'\nname = '07_x'"
    )
    lesson = Lesson("00_test", {}, {0: ast.parse(code)})
    assert [one.split(": ")[1].split(" ")[0] for one in wrong_in(lesson)] == ["12%", "7"]
