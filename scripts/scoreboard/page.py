"""RESULTS.md, made of records."""

from __future__ import annotations

import statistics
import tomllib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from scripts.scoreboard.goals import GOALS, ZOO_EPOCHS
from scripts.scoreboard.records import Records

INTRODUCTION = """\
Accuracy on MNIST's 10,000 test images, with the weights that 5,000 validation images chose (500 for `small-data`, which
sees 5,000 images in all); the test images were looked at once a run. Seeds count from 0, none is left out. The time is
that of training as the run's ledger has it, the least of the seeds, since the machine was shared; each seed's own is in
the second table. Written by `python scripts/results.py` from `scripts/recipes/results/`, never by hand.
"""

CALIBRATION = """\
ECE and NLL are means, with the temperature that validation fitted; `ensemble` has none, since an image that validated
one member has trained another. Missed goals are in bold.
"""


def page(records: Records, architectures: Collection[str]) -> str:
    """Return RESULTS.md.

    Args:
        records: What is known.
        architectures: All that are registered.
    """
    recipes = records.recipes
    lines = [
        *("# Results", ""),
        *INTRODUCTION.splitlines(),
        "",
        "| recipe | model | parameters | training | seeds | mean % | sd | least - most | wanted | ECE % | NLL |",
        "|---|---|---:|---:|---:|---:|---:|---:|---|---:|---:|",
        *(_row(name, kept) for name, kept in recipes.items()),
        *("", *CALIBRATION.splitlines(), ""),
        *(line for name, kept in recipes.items() for line in _robustness(name, kept)),
        *("## Every run", ""),
        "| recipe | seed | test % | validation % | training s | epochs | date | machine |",
        "|---|---:|---:|---:|---:|---:|---|---|",
        *(_line(one) for kept in recipes.values() for one in kept),
        *("", "## Commands", "", "```text"),
        *(_command(name) for name in recipes),
        *("```", ""),
        *_zoo(records.zoo, architectures),
    ]
    return "\n".join(lines)


def _robustness(name: str, kept: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the section on corruptions, if a recipe was measured under any."""
    measured = [one for one in kept if one.get("corruptions")]
    if not measured:
        return []
    names = [row["corruption"] for row in measured[0]["corruptions"]]
    shares = {c: statistics.mean(_under(one)[c]["accuracy"] for one in measured) for c in names}
    never = [c for c in names if not _under(measured[0])[c]["trained_for"]]
    wanted, mean = GOALS[name].robustness, 100 * statistics.mean(shares.values())
    missed = "" if wanted is None or mean >= wanted else ": **missed**"
    seeds = ", ".join(f"seed {one['seed']}" for one in measured)
    return [
        f"## `{name}` under corruptions",
        "",
        f"Accuracy on the test images under the {len(names)} corruptions of MNIST-C (Mu and Gilmer 2019, arXiv",
        f"1906.02337), mean of {seeds}: **{mean:.2f} %** ({wanted} wanted{missed}).",
        f"Augmentation has nothing like {', '.join(never)}, and something like all others."
        if never
        else "Augmentation has something like each of them.",
        f"`python scripts/evaluate.py runs/results/{name}-0 --robustness`",
        "",
        "| corruption | accuracy % | its like in training |",
        "|---|---:|---|",
        *(f"| {c} | {100 * share:.2f} | {'no' if c in never else 'yes'} |" for c, share in shares.items()),
        "",
    ]


def _under(one: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {row["corruption"]: row for row in one["corruptions"]}


def _zoo(kept: Sequence[Mapping[str, Any]], architectures: Collection[str]) -> list[str]:
    """Return the section of the architectures."""
    missing = [f"`{name}`" for name in architectures if name not in {one["model"] for one in kept}]
    return [
        *("## Architectures", ""),
        f"What each reaches in {ZOO_EPOCHS} epochs of the default recipe, seed 0, with",
        f"`python scripts/fit.py --model NAME --data mnist --epochs {ZOO_EPOCHS} --seed 0`.",
        *([f"Not measured yet: {', '.join(missing)}."] if missing else []),
        "",
        "| model | parameters | training s | validation % | test % | date |",
        "|---|---:|---:|---:|---:|---|",
        *(_architecture(one) for one in kept),
        "",
    ]


def _architecture(one: Mapping[str, Any]) -> str:
    shares = (f"{100 * one[name]:.2f}" for name in ("val_accuracy", "test_accuracy"))
    cells = [f"`{one['model']}`", f"{one['parameters']:,}", f"{one['train_seconds']:,.1f}", *shares, one["date"]]
    return f"| {' | '.join(cells)} |"


def _row(name: str, kept: Sequence[Mapping[str, Any]]) -> str:
    goal, scores = GOALS[name], [100 * one["test_accuracy"] for one in kept]
    mean, first = statistics.mean(scores), kept[0]
    seconds = min(one["train_seconds"] for one in kept)
    late = goal.seconds is not None and seconds > goal.seconds
    wanted = f"{goal.accuracy:.2f} %" + (f" in {goal.seconds:,.0f} s" if goal.seconds else "")
    cells = [
        f"`{name}`",
        ", ".join(f"{times} x `{net}`" if times > 1 else f"`{net}`" for net, times in networks(first).items()),
        f"{first['parameters']:,}",
        f"{seconds:,.1f} s" if goal.seconds else "-",
        str(len(kept)),
        f"{mean:.3f}",
        f"{statistics.stdev(scores):.3f}" if len(scores) > 1 else "-",
        f"{min(scores):.2f} - {max(scores):.2f}",
        f"**{wanted}: missed**" if late or round(mean, 3) < goal.accuracy else wanted,
        _mean(kept, "ece", 100),
        _mean(kept, "nll", 1),
    ]
    return f"| {' | '.join(cells)} |"


def networks(one: Mapping[str, Any]) -> Mapping[str, int]:
    """Return the architecture of a recorded run, once; of an ensemble, those that it averages and how often each."""
    model = tomllib.loads(one["config"])["model"]
    counts = Counter(member["name"] for member in model["args"]["members"]) if model["name"] == "ensemble" else {}
    return counts or {one["model"]: 1}


def _mean(kept: Sequence[Mapping[str, Any]], name: str, factor: float) -> str:
    """Return the mean of a calibrated score; without a temperature, of the score as it is."""
    values = [one[f"test_calibrated_{name}"] or one[f"test_{name}"] for one in kept]
    return f"{factor * statistics.mean(values):.{2 if factor > 1 else 4}f}"


def _line(one: Mapping[str, Any]) -> str:
    validation = "-" if one["val_accuracy"] is None else f"{100 * one['val_accuracy']:.2f}"
    cells = [
        *(f"`{one['recipe']}`", str(one["seed"]), f"{100 * one['test_accuracy']:.2f}", validation),
        *(f"{one['train_seconds']:,.1f}", str(one["epochs"]), one["date"], one["machine"]),
    ]
    return f"| {' | '.join(cells)} |"


def _command(name: str) -> str:
    if runs := GOALS[name].runs:
        return f"python scripts/results.py {name}  # of {', '.join(runs)}"
    return f"python scripts/fit.py --recipe {name} {GOALS[name].data} --seed 0"


def head(kept: Sequence[Mapping[str, Any]]) -> str:
    """Return the first line of a recipe's file: what it costs and reaches."""
    seconds = min(one["train_seconds"] for one in kept)
    mean = statistics.mean(100 * one["test_accuracy"] for one in kept)
    seeds = "seed 0" if len(kept) == 1 else f"mean of seeds 0 to {len(kept) - 1}"
    return f"# {seconds:.1f} s of training, {mean:.2f} % of MNIST's test images: {seeds}; see RESULTS.md"
