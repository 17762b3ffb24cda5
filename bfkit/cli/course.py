"""``bfkit course student | collect``: lessons to hand out, and a table of what comes back."""

import argparse
from pathlib import Path

from bfkit.files import check_target, write_file
from bfkit.profiles import Profile

from .options import add_command, show


def student(_: Profile, arguments: argparse.Namespace) -> None:
    """Write the students' copies of the lessons, with dots in the place of the solutions."""
    from bfkit.course.notebook import write_copies
    from bfkit.report.reproduce import choose

    check_target(arguments.out, "folder")
    only = () if arguments.only is None else arguments.only.split(",")
    lessons = choose(only)
    write_copies(lessons, arguments.out)
    print(f"{len(lessons)} lessons in {arguments.out}")


def collect(_: Profile, arguments: argparse.Namespace) -> None:
    """Print a table of what students handed in, written by ``course.hand_in`` in their notebooks."""
    from bfkit.course.handed_in import HONESTY, collect

    if arguments.table:
        check_target(arguments.table, "file")
    rows, lessons = collect(arguments.folders)
    show(lessons)
    print(f"right tasks of those that were checked, a row a file; signed {HONESTY}")
    if arguments.table:
        write_file(arguments.table, rows.write_csv().encode())
        print(f"written: {arguments.table}")


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Add ``course`` and its parts to the parser's commands."""
    parts = commands.add_parser("course", help="The lessons as a course: hand them out, collect what comes back.")
    parts = parts.add_subparsers(dest="part", required=True, metavar="PART")

    command = add_command(parts, "student", student)
    command.add_argument("--out", type=Path, required=True, help="folder of the copies")
    command.add_argument("--only", help="some lessons, by the beginning of their names: 01,03")
    command = add_command(parts, "collect", collect)
    command.add_argument("folders", type=Path, nargs="+", metavar="FOLDER", help="folders of files, or files")
    command.add_argument("--table", type=Path, help="also write every student's every task to this CSV")
