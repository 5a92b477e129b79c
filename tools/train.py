"""Trains a model by a recipe of tools/recipes/: from public data to an int8 bundle with its scores.

    python tools/train.py                                  # the recipes
    python tools/train.py tiny                             # the commands of one; nothing is run
    python tools/train.py tiny all --work WORK             # everything, in order
    python tools/train.py tiny decoder --work WORK --set decoder.steps=6000

A step that was finished with the same options, after the same steps, is not run again. Stopped at any time, the same
command goes on: trainings from their last checkpoint. Every step is a program of tools/ that can be run alone.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

from vctrain import recipes
from vctrain.errors import UserError, one_line_errors

WORK = Path("build") / "training"


def change(text: str) -> tuple[str, str]:
    """step.option=value."""
    name, _, value = text.partition("=")
    if not value or "." not in name:
        raise argparse.ArgumentTypeError(f"expected STEP.OPTION=VALUE, such as encoder.steps=2000, got {text!r}")
    return name, value


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", nargs="?", help="default: list them")
    parser.add_argument("step", nargs="?", default="show", help="all, or one step; default: show their commands")
    parser.add_argument("--work", type=Path, default=WORK, help="folder of all that is made (default %(default)s)")
    parser.add_argument("--clones", type=Path, help="folder of the data sets' clones (default WORK/clones)")
    parser.add_argument("--data", type=Path, help="folder of the prepared data (default WORK/data)")
    parser.add_argument("--noises", type=Path, help="ESC-10 (default CLONES/karolpiczak+ESC-10)")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="auto: CUDA if there is one")
    parser.add_argument("--jobs", type=int, default=2, help="processes or threads of a step (default 2)")
    parser.add_argument("--litert-python", default=sys.executable, help="Python of tools/requirements-litert.txt")
    parser.add_argument(
        "--set",
        type=change,
        action="append",
        default=[],
        metavar="STEP.OPTION=VALUE",
        help="change an option",
    )
    parser.add_argument("--again", action="store_true", help="run finished steps, too")
    parser.add_argument("--dry-run", action="store_true", help="print the commands, run nothing")
    return parser


def show(steps: list[recipes.Step], progress: recipes.Progress) -> None:
    """Print the commands."""
    for step in steps:
        state = " (done)" if progress.done(step) else " (not in `all`)" if step.alone else ""
        environment = "".join(f"{name}={value} " for name, value in step.environment.items())
        print(f"# {step.recipe}: {step.name}{state}\n{environment}{shlex.join(step.command)}")


@one_line_errors
def main() -> None:
    """Runs steps one after the other."""
    args = arguments().parse_args()
    if args.recipe is None:
        for name in recipes.names():
            print(f"{name:12s} {recipes.read(name)['description']}")
        return
    if args.jobs < 1:
        raise UserError(f"--jobs: expected 1 or more, got {args.jobs}")
    places = recipes.Places(
        args.work, args.clones, args.data, args.noises, args.device, args.jobs, args.litert_python, dict(args.set)
    )
    steps, progress = recipes.steps(args.recipe, places), recipes.Progress(args.work)
    if args.step == "show":
        show(steps, progress)
        return
    steps = recipes.chosen(steps, args.step)
    if args.dry_run:
        show(steps, progress)
        return
    for step in steps:
        if progress.done(step) and not args.again:
            print(f"{step.recipe}: {step.name} is done: {', '.join(map(str, step.makes))}", flush=True)
            continue
        print(f"{step.recipe}: {step.name}\n  {shlex.join(step.command)}", flush=True)
        recipes.run(step)
        progress.finish(step)


if __name__ == "__main__":
    main()
