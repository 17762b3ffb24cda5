"""A task of a lesson: an answer is right, not yet (with what is off, never the answer) or not attempted."""

import copy
import html
import inspect
import re
import reprlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .compare import what_is_off

RIGHT, NOT_YET, NOT_ATTEMPTED = "right", "not yet", "not attempted"
MARKS = {RIGHT: "✓", NOT_YET: "✗", NOT_ATTEMPTED: "…"}
RECORD: dict[str, dict[str, Any]] = {}  # what this kernel's checks said, by task: what ``hand_in`` writes
DOTS = re.compile(r"(^\s*|[:=(]\s*|return\s+)\.\.\.", re.MULTILINE)  # for a body or a value; ``x[..., 0]`` has none
Slip = tuple[Callable[..., Any], str]  # a misconception: what it answers, as ``Task.right`` has it, and what to say


@dataclass(frozen=True)
class Result:
    """What a check, a hint or a solution says: text, and in a notebook HTML that a screen reader announces."""

    task: str
    verdict: str
    said: str = ""

    def __repr__(self) -> str:
        return f"{MARKS.get(self.verdict, '·')} {self.verdict} ({self.task})\n{self.said}".strip()

    def _repr_html_(self) -> str:
        style = "border-left:.3em solid currentColor;padding:.2em .8em;overflow-x:auto"
        head = f"<strong>{MARKS.get(self.verdict, '·')} {self.verdict}</strong> <small>({self.task})</small>"
        said = html.escape(self.said)
        return f'<div role="status" style="{style}">{head} {f"<pre>{said}</pre>" if chr(10) in said else said}</div>'


@dataclass(frozen=True)
class Task:
    """A function to write, with ``cases`` to try it on, or a value that follows from what the lesson gives.

    ``right`` is the function, which is the solution, or computes the value from the lesson's variables named in
    ``given``; ``code`` is then the solution. Numbers may differ by ``tolerance``, of 1 and of themselves.
    ``figure`` is a cell that then shows the student's own in the place of the library's.
    """

    name: str
    title: str
    text: str
    right: Callable[..., Any]
    hints: tuple[str, ...]
    slips: Mapping[str, Slip]
    cases: Callable[[], Sequence[tuple]] | None = None
    code: str = ""
    given: str = ""
    tolerance: float = 1e-6
    figure: str = ""

    def __repr__(self) -> str:
        return f"{self.name}: {self.title}"

    def check(self, answer: Any, *given: Any) -> Result:
        """Judge an answer; ``given`` are the lesson's variables that a value follows from."""
        verdict, said = self._judge(answer, given)
        RECORD[self.name] = {"verdict": verdict, "checks": RECORD.get(self.name, {}).get("checks", 0) + 1}
        return Result(self.name, verdict, said)

    def own(self, answer: Any) -> Callable[..., Any]:
        """The student's function if it is right, else the task's, for the figures that follow."""
        return answer if self._judge(answer, ())[0] == RIGHT else self.right

    def hint(self, number: int = 1) -> Result:
        """A hint, from 1 on; the last where there are not so many."""
        number = max(1, min(number, len(self.hints)))
        return Result(self.name, f"hint {number} of {len(self.hints)}", self.hints[number - 1])

    def solution(self) -> Result:
        """One solution, of many."""
        return Result(self.name, "solution", f"{self.source()}\n")

    def source(self) -> str:
        """The solution's code, as it stands in the lesson's cell."""
        return (inspect.getsource(self.right) if self.cases else self.code).strip()

    def _judge(self, answer: Any, given: tuple) -> tuple[str, str]:
        if _unanswered(answer):
            return NOT_ATTEMPTED, "put your answer in the place of the dots"
        if self.cases and not callable(answer):
            return NOT_YET, f"a function is wanted, this is of type {type(answer).__name__}"
        cases, answers, off = self.cases() if self.cases else [given], [], ""
        for case in cases:
            named = zip(inspect.signature(self.right).parameters, map(reprlib.repr, case), strict=False)
            where = f" (for {', '.join(map(' = '.join, named))})" if self.cases else ""
            try:
                answers.append(answer(*copy.deepcopy(case)) if self.cases else answer)
            except Exception as error:
                return NOT_YET, " ".join(f"{type(error).__name__}: {error}".splitlines()[:1]) + where
            if _unanswered(answers[-1]):
                return NOT_ATTEMPTED, "there are still dots in what it returns"
            off = off or what_is_off(answers[-1], self.right(*copy.deepcopy(case)), self.tolerance, where)
        slipped = (said for slip, said in self.slips.values() if self._same(slip, answers, cases))
        return (NOT_YET, next(slipped, off)) if off else (RIGHT, "")

    def _same(self, slip: Callable[..., Any], answers: Sequence[Any], cases: Sequence[tuple]) -> bool:
        """Whether the answers are those of a misconception."""
        try:
            pairs = zip(answers, (slip(*copy.deepcopy(case)) for case in cases), strict=True)
            return not any(what_is_off(got, slipped, self.tolerance) for got, slipped in pairs)
        except Exception:  # what fails where the answer does not is another mistake
            return False


def _unanswered(answer: Any) -> bool:
    """True where dots stand for an answer, or for a part of it."""
    if isinstance(answer, (Mapping, list, tuple, set)):
        return any(map(_unanswered, answer.values() if isinstance(answer, Mapping) else answer))
    if not inspect.isfunction(answer):
        return answer is Ellipsis
    try:
        return bool(DOTS.search(inspect.getsource(answer)))
    except OSError:  # typed where no source is kept: what it returns will tell
        return False
