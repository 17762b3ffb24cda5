"""Lesson 15: other architectures."""

from bfkit.course.checking import Task
from bfkit.metrics.registry import METRICS


def _flat(chosen, steps, column="steps", flat=True):
    rows = chosen.iter_rows(named=True)
    return {row["prompt"].split(",")[0] for row in rows if (row[column] < steps[-1]) == flat}


def _hours(plan, rate=100.0, unit=1e3 / 3600):
    return plan.filter(profile="sdxl")["operations"].item() * unit / rate


TASKS = (
    Task(
        "families.flat",
        "who goes flat?",
        """For which families does t\\* lie *before* the last step that was drawn? `chosen` has a row a family,
`steps` ends with the last step. Answer with a set of names as they stand in `families`; it may be empty, `set()`.""",
        _flat,
        ("`chosen` names each row in `prompt`, the family's name first; its t\\* is in `steps`.",),
        {
            "one metric": (lambda chosen, steps: _flat(chosen, steps, "d_sim"),
                           "these go flat by D-SIM; t\\* waits for all three metrics"),
            "those that do not": (lambda chosen, steps: _flat(chosen, steps, flat=False),
                                  "for these t\\* *is* the last step"),
            "any metric": (lambda chosen, steps: set.union(*(_flat(chosen, steps, metric) for metric in METRICS)),
                           "some metric goes flat for each of these; t\\* waits for all three"),
        },
        code='early = chosen.filter(pl.col("steps") < steps[-1])["prompt"]\n'
        'flat_families = {prompt.split(",")[0] for prompt in early}',
        given="chosen, steps",
    ),
    Task(
        "families.hours",
        "a week, or a year?",
        """The table `plan` counts the operations of the paper's data set in PFLOP, in `operations`. How many
*hours* would `sdxl` take on a device that sustains 100 TFLOP a second?""",
        _hours,
        ("A PFLOP is 1000 TFLOP, an hour 3600 seconds.",),
        {
            "PFLOP for TFLOP": (lambda plan: _hours(plan, unit=1 / 3600),
                                "the table counts in PFLOP, the device in TFLOP"),
            "seconds": (lambda plan: _hours(plan, unit=1e3), "these are seconds"),
            "days": (lambda plan: _hours(plan, unit=1e3 / 86400), "these are days"),
        },
        code='hours = plan.filter(profile="sdxl")["operations"].item() * 1000 / 100 / 3600',
        given="plan",
        tolerance=0.01,
    ),
)  # fmt: skip
