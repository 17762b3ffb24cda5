"""The analysis of a study in words, tables and figures; what comes from simulated observers says so in every line."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from bfkit import charts
from bfkit.files import write_file

from .analysis import (
    Interval,
    Rules,
    apply_rules,
    bootstrap,
    by_participant,
    check_unmixed,
    crossed,
    d_prime,
    jnd,
    mean_share,
    participants_needed,
    side_bias,
    spread,
    time_on_trial,
)
from .design import COMPARED
from .mixed import Mixed, is_mixed, mixed_share


@dataclass(frozen=True)
class Analysis:
    """What one comparison came to.

    ``mean`` and ``error`` are the mean over participants and its standard error (of which kind the paper's ± is, it
    does not say), ``resampled`` the share with the bootstrap interval over participants, ``share`` the one for other
    people and other prompts (``crossed``), from which d' and JNDs are read. ``mixed`` is None with fewer than two
    participants or prompts, or where all answered alike.
    """

    protocol: str
    simulated: bool
    participants: int
    prompts: int
    trials: int
    alike: int  # trials that compared two pictures of equal step counts
    excluded: pl.DataFrame
    mean: float
    error: float
    resampled: Interval
    share: Interval
    mixed: Mixed | None
    between: float
    consistency: float | None
    bias: tuple[Interval, float] | None

    @property
    def jnd(self) -> Interval:
        """Thurstone's scale: OURS above (or, below zero, under) the other condition, in JNDs."""
        return self.share.map(jnd)

    def lines(self) -> list[str]:
        """The findings, a sentence or two a line."""
        _, other = COMPARED[self.protocol]
        sensitivity, jnds = self.share.map(d_prime), self.jnd
        found = [
            f"{self.participants} participants, {self.prompts} prompts, {self.trials} trials of OURS against {other}; "
            f"{len(self.excluded)} sessions were left out by the rules.",
            f"OURS was chosen in {self.mean:.1%} ± {self.error:.1%} of the trials (mean ± SE over participants; "
            f"bootstrap over participants {_percent(self.resampled)}).",
            f"For other people and other prompts: {_percent(self.share)}; d' = {_numbers(sensitivity)}, "
            f"{_numbers(jnds)} JND (75% is 1, 25% is -1). {self._verdict(other)}",
        ]
        if self.mixed:
            found.append(f"Mixed model with people and prompts as random effects: {_percent(self.mixed.share)}; "
                         f"deviations in log-odds {self.mixed.people:.2f} over people, "
                         f"{self.mixed.prompts:.2f} over prompts.")  # fmt: skip
        if self.bias:
            left, p = self.bias
            found.append(f"The left picture was chosen in {_percent(left)} of the trials (p = {p:.2g}).")
        if self.consistency is not None:
            found.append(f"Repeated trials were answered as before in {self.consistency:.0%} of the cases.")
        if self.alike:
            found.append(f"{self.alike} trials compared pictures of equal step counts, where only chance decides.")
        if self.participants > 1 and 0 < self.mean < 1 and abs(self.mean - 0.5) > 0.005:
            needed = participants_needed(self.mean, max(1, self.trials // self.participants), self.between)
            found.append(f"To tell such a share from 50% in four of five studies, {needed} participants are needed.")
        return [f"(simulated) {line}" for line in found] if self.simulated else found

    def _verdict(self, other: str) -> str:
        low, high = self.jnd.low, self.jnd.high
        if low > -1 and high < 1:
            return f"OURS and {other} are within one JND of each other."
        if low >= 1 or high <= -1:
            return f"OURS is more than one JND {'above' if low >= 1 else 'below'} {other}."
        return "Whether that is within one JND is open: the interval crosses it."


def _percent(interval: Interval) -> str:
    return f"{interval.value:.1%} [{interval.low:.1%}, {interval.high:.1%}]"


def _numbers(interval: Interval) -> str:
    return f"{interval.value:.2f} [{interval.low:.2f}, {interval.high:.2f}]"


def shares_finding(found: Sequence[Analysis]) -> str:
    """One sentence on several comparisons, for other people and other prompts: shares and how many JNDs they may be."""
    said = []
    for one in found:
        low, high = one.jnd.low, one.jnd.high
        within = "within one JND" if low > -1 and high < 1 else "more than one JND" if low >= 1 or high <= -1 else ""
        against = COMPARED[one.protocol][1]
        said.append(f"{_percent(one.share)} against {against}, {within or 'it is open whether within one JND'}")
    return f"OURS was chosen in {'; in '.join(said)}"


def analyse(rows: pl.DataFrame, rules: Rules = Rules()) -> list[Analysis]:  # noqa: B008  (frozen)
    """Each protocol among the answers, after the rules have been applied.

    Raises ValueError if answers of people and of simulated observers are mixed, or the rules leave nobody.
    """
    simulated = check_unmixed(rows)
    kept, excluded = apply_rules(rows, rules)
    found = []
    for protocol in COMPARED:
        if rows.filter(protocol=protocol).is_empty():
            continue
        own, out = kept.filter(protocol=protocol), excluded.filter(protocol=protocol)
        if own.is_empty():
            raise ValueError(f"the rules leave nobody in the {protocol} study: {len(out)} sessions were left out, "
                             f"the first for: {out['reason'][0] if len(out) else 'no main trials'}")  # fmt: skip
        main = own.filter(kind="main")
        mean, error = mean_share(own)
        participants, prompts = main["participant"].n_unique(), main["prompt"].n_unique()
        found.append(Analysis(
            protocol, simulated, participants, prompts, len(main),
            main.filter(pl.col("left_steps") == pl.col("right_steps")).height, out, mean, error, bootstrap(own),
            crossed(own), mixed_share(own) if is_mixed(main) else None, spread(own),
            by_participant(own, rules).select(pl.col("consistency").mean()).item(), side_bias(own),
        ))  # fmt: skip
    return found


def write_report(rows: pl.DataFrame, out: str | Path, rules: Rules = Rules()) -> Path:  # noqa: B008  (frozen)
    """Write ``report.md``, ``participants.csv``, ``excluded.csv`` and the figures into a folder; returns the report."""
    found = analyse(rows, rules)
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    kept, excluded = apply_rules(rows, rules)
    people = by_participant(kept, rules)
    people.drop("began").write_csv(out / "participants.csv", float_precision=5)
    excluded.write_csv(out / "excluded.csv")
    figures = {
        "fig09": charts.user_study(people, "How often OURS was chosen"),
        "sides": charts.study_sides(people, "Which side was chosen"),
        "times": charts.study_times(time_on_trial(kept), "Time on a trial"),
    }
    if kept["rt_ms"].is_null().all():
        del figures["times"]
    if people["left"].is_null().all():
        del figures["sides"]
    for name, figure in figures.items():
        figure.save(out / f"{name}.svg")
        figure.save(out / f"{name}.png", scale_factor=2)
    simulated = found[0].simulated
    title = "# A study of simulated observers, not of people" if simulated else "# A study"
    sections = [title, "", f"Rules, stated before the answers: {rules}."]
    for analysis in found:
        sections += ["", f"## OURS against {COMPARED[analysis.protocol][1]}{' (simulated)' if simulated else ''}", ""]
        sections += [f"- {line}" for line in analysis.lines()]
    sections += ["", *(f"![{'simulated: ' if simulated else ''}{name}]({name}.svg)" for name in figures)]
    write_file(out / "report.md", "\n".join([*sections, ""]).encode())
    return out / "report.md"
