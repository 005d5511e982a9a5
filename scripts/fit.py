"""Train a model: `python scripts/fit.py --model lenet`."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

STARTED = time.perf_counter()

try:
    import models  # noqa: F401  (fills the table of models)
    import plugins  # noqa: F401  (fills the table of plugins)
    from trainer import registry
    from trainer.config.recipes import list_recipes, read_recipe
    from trainer.config.schema import DEFAULT_PLUGINS, Config, override, parse_spec, read_toml, resolve
    from trainer.console.cli import Parser, run_script
    from trainer.engine.ledger import Ledger
    from trainer.errors import UsageError, did_you_mean
    from trainer.runs.directory import check_free, default_name
    from trainer.runs.files import RunFiles
    from trainer.runs.find import differences, find_run
    from trainer.session import assemble, check, import_user_module, start
except ModuleNotFoundError as error:
    sys.exit(f"fit.py: Inkwell is not installed (no {error.name}); run in its folder: python -m pip install -e .")

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Mapping

    from trainer.config.schema import ModelConfig, TaskConfig

RECIPES = Path(__file__).parent / "recipes"
LISTS = {
    "models": registry.models,
    "plugins": registry.plugins,
    "data": registry.data_sources,
    "tasks": registry.tasks,
}


def parser() -> Parser:
    """Return the parser of the command line."""
    p = Parser(description="Train a model, test it once, write everything to a run directory.")
    spec = "NAME[:key=value,…]"
    p.add_argument("--model", metavar=spec, help="architecture and arguments of its builder (lenet)")
    p.add_argument("--task", metavar=spec, help="what is learnt (classification)")
    data = p.add_argument_group("data")
    data.add_argument("--data", metavar="NAME|PATH", help="auto, mnist, mnist5k, fashion_mnist, a TFDS name, a path")
    data.add_argument("--data-dir", metavar="DIR", help="where data lie and are downloaded to (data)")
    data.add_argument("--test-data", metavar="NAME|PATH", help="test on other data than those trained on")
    data.add_argument("--batch-size", type=int, metavar="N", help="images a training batch (128)")
    data.add_argument("--augment", metavar="none|light|strong", help="strength of random changes (light)")
    training = p.add_argument_group("training")
    training.add_argument("--epochs", type=int, metavar="N", help="passes over the training images (10)")
    training.add_argument("--steps", type=int, metavar="N", help="optimizer steps, instead of epochs")
    training.add_argument("--max-time", metavar="10m", help="end at the latest after this time")
    training.add_argument("--optimizer", metavar="NAME", help="a Keras optimizer (adam)")
    training.add_argument("--lr", type=float, metavar="X", help="peak learning rate (0.002)")
    training.add_argument("--schedule", metavar="NAME", help="cosine or constant (cosine)")
    training.add_argument("--seed", type=int, metavar="N", help="seed of everything random (0)")
    training.add_argument("--strategy", metavar="auto|single|fused|blocks", help="how a step is computed (auto)")
    training.add_argument("--deterministic", action="store_const", const=True, help="deterministic operations only")
    run = p.add_argument_group("run")
    run.add_argument("--run-dir", type=Path, metavar="DIR", help="must not exist (runs/<model>-<date>-<time>)")
    run.add_argument(
        "--resume",
        nargs="?",
        const="",
        metavar="RUN_DIR",
        help="resume a run (default: the newest with this configuration)",
    )
    run.add_argument("--resume-anyway", action="store_true", help="resume although configuration or data differ")
    run.add_argument("--dry-run", action="store_true", help="check everything, print the plan, train and write nothing")
    run.add_argument("--profile", action="store_true", help="trace a few steps with TensorFlow's profiler")
    run.add_argument("--plugin", action="append", default=[], metavar=spec, help="add a plugin, or set its arguments")
    run.add_argument("--no-plugin", action="append", default=[], metavar="NAME", help="leave a plugin out")
    run.add_argument("--register", metavar="NAME", help="make the model a version of this registered model of MLflow")
    run.add_argument("--progress", metavar="auto|rich|plain|none", help="display on stderr (auto)")
    config = p.add_argument_group("configuration")
    config.add_argument("--recipe", metavar="NAME", help="a configuration of scripts/recipes, such as fast")
    config.add_argument("--config", type=Path, metavar="FILE", help="a TOML file, such as a run's config.toml")
    config.add_argument("--set", action="append", default=[], metavar="A.B=VALUE", help="override a key of config.toml")
    config.add_argument("--print-config", action="store_true", help="print the resolved configuration and exit")
    config.add_argument("--import", action="append", default=[], metavar="MODULE", help="import what registers names")
    config.add_argument("--list", choices=[*LISTS, "recipes"], help="list what can be named, and exit")
    return p


def configuration(args: Namespace) -> Config:
    """Return the configuration: defaults, then recipe and file (that of a run to resume), then `--set`, then flags.

    Raises:
        UsageError: If a key, name or value is wrong.
    """
    layers = [read_recipe(RECIPES, args.recipe)] if args.recipe else []
    if args.config:
        layers.append(read_toml(args.config))
    elif args.resume:
        layers.append(RunFiles(Path(args.resume)).config)
    config = resolve(layers, str(args.config or args.resume or args.recipe or ""))
    specs = {section: parse_spec(spec) for section in ("model", "task") if (spec := getattr(args, section)) is not None}
    named = {section: _named(getattr(config, section), name) for section, (name, _) in specs.items()}
    config = override(resolve([config.to_dict(), named]), args.set)
    flags: dict[str, dict[str, Any]] = {
        "data": {
            **{"name": args.data, "folder": args.data_dir, "test": args.test_data},
            **{"batch_size": args.batch_size, "augmentation": args.augment},
        },
        "optimizer": {"name": args.optimizer, "learning_rate": args.lr, "schedule": args.schedule},
        "training": {
            **{"epochs": args.epochs, "steps": args.steps, "seed": args.seed, "deterministic": args.deterministic},
            **{"max_time": args.max_time, "strategy": args.strategy},
        },
    }
    layer: dict[str, Any] = {name: {k: v for k, v in keys.items() if v is not None} for name, keys in flags.items()}
    for section, (name, arguments) in specs.items():
        layer[section] = {"name": name, "args": {**getattr(config, section).args, **arguments}}
    layer["plugins"] = chosen_plugins(config.plugins, args)
    layer["imports"] = [*config.imports, *getattr(args, "import")]
    return resolve([config.to_dict(), layer])


def _named(section: ModelConfig | TaskConfig, name: str) -> dict[str, Any]:
    """Return `section` with another name; the arguments of one model are not those of another."""
    return {"name": name, "args": section.args if name == section.name else {}}


def chosen_plugins(configured: dict[str, dict[str, Any]], args: Namespace) -> dict[str, dict[str, Any]]:
    """Return the plugins in order: those configured, less `--no-plugin`, with `--plugin` updated or appended.

    Raises:
        UsageError: If a plugin that is to be left out is neither there nor a default.
    """
    chosen = {name: dict(arguments) for name, arguments in configured.items()}
    for spec in args.plugin:
        name, arguments = parse_spec(spec)
        chosen.setdefault(name, {}).update(arguments)
    for name in args.no_plugin:
        if name not in chosen and name not in DEFAULT_PLUGINS:
            listed = ", ".join(chosen) or "none"
            raise UsageError(f"--no-plugin {name}: not a plugin of this run{did_you_mean(name, chosen)} ({listed})")
        chosen.pop(name, None)
    if args.progress is not None and "progress" in chosen:
        chosen["progress"]["mode"] = args.progress
    if args.register is not None:
        if "mlflow" not in chosen:
            raise UsageError("--register needs the plugin mlflow, which is left out")
        chosen["mlflow"]["register"] = args.register
    return chosen


def print_list(kind: str) -> None:
    """Print names and one line of help each."""
    entries = [(entry.name, entry.help) for entry in LISTS[kind].entries()] if kind in LISTS else list_recipes(RECIPES)
    width = max(len(name) for name, _ in entries)
    for name, text in entries:
        print(f"{name:<{width}}  {text}")


def run_to_resume(args: Namespace, config: Config) -> Path:
    """Return the directory of the run to resume.

    Raises:
        UsageError: If there is none, or its configuration differs.
    """
    if not args.resume:
        return find_run((args.run_dir or Path("runs/new")).parent, config.to_dict())
    path = Path(args.resume)
    before = RunFiles(path).config
    if not before:
        raise UsageError(f"cannot resume {path}: it was made from Python, without a configuration; resume it there")
    changed = differences(before, config.to_dict())
    if changed and not args.resume_anyway:
        raise UsageError(
            f"cannot resume {path}: its configuration differs ({'; '.join(changed)}); --resume-anyway accepts that"
        )
    return path


def is_done(run: RunFiles, config: Config) -> bool:
    """Return whether a run has a result, and no more is asked of it."""
    before, now = resolve([run.config]).training, config.training
    more = (now.epochs, now.steps, now.max_time) != (before.epochs, before.steps, before.max_time)
    return run.has_result and not more


def print_result(result: Mapping[str, Any], run_dir: Path) -> None:
    """Print the table of the result, the run directory and how to look at it."""
    from plugins.mlflow.state import ui_command
    from trainer.console.tables import result_table

    print(result_table(result))
    print(f"run directory   {run_dir}")
    command = ui_command(run_dir)
    if command:
        print(f"in the browser  {command}")


def print_plan(plan: list[tuple[str, str]], run_dir: Path) -> None:
    """Print what a run would do and where it would go."""
    from trainer.console.tables import table

    print(table([*plan, ("run directory", str(run_dir))]))


def main() -> int:
    """Train as the command line says; return the exit status."""
    args = parser().parse()
    if args.list:
        for module in getattr(args, "import"):
            import_user_module(module)
        print_list(args.list)
        return 0
    config = configuration(args)
    parts = check(config)
    if args.print_config:
        print(config.to_toml(), end="")
        return 0
    if args.resume is None:
        run_dir = args.run_dir or Path("runs") / default_name(config.model.name)
        check_free(run_dir)
    else:
        run_dir = run_to_resume(args, config)
        run_files = RunFiles(run_dir)
        if is_done(run_files, config):
            print_result(run_files.finished(), run_dir)
            return 0
    ledger = Ledger(STARTED)
    ledger.rest("imports")
    if config.model.args or config.optimizer.args:
        start(config, ledger)  # a wrong argument is all that is said
    if not args.dry_run:
        doing = f"training {config.model.name} on {config.data.name}; everything goes to {run_dir}"
        print(doing, file=sys.stderr, flush=True)
    session = assemble(config, parts, run_dir, ledger)
    run = session.fit(args.resume is not None, args.resume_anyway, args.dry_run, args.profile)
    if args.dry_run:
        print_plan(run.plan, run_dir)
        return 0
    if run.status == "interrupted" and run.signal is not None:
        saved = f"step {run.step} is saved; resume with --resume {run_dir}" if run.saved else "nothing was saved"
        print(f"fit.py: {run.stop_reason}; {saved}", file=sys.stderr)
        return 128 + run.signal
    print_result(run.result, run_dir)
    for notice in run.data["notices"]:
        print(f"notice          {notice}")
    return 0


if __name__ == "__main__":
    run_script(main)
