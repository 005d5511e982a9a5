"""Train a model: `python scripts/fit.py --model lenet`."""

from __future__ import annotations

import runpy
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

STARTED = time.perf_counter()

try:
    from trainer.console.starting import starting

    if __name__ == "__main__":
        starting()
    from trainer import registry
    from trainer.config.flags import add_flags, given, with_names
    from trainer.config.merge import override, read_toml, resolve
    from trainer.config.recipes import list_recipes, read_recipe
    from trainer.config.schema import DEFAULT_PLUGINS, SPEC, Config
    from trainer.config.spec import parse_spec
    from trainer.console import stages
    from trainer.console.cli import Parser, run_script
    from trainer.console.output import say, show
    from trainer.engine.ledger import Ledger
    from trainer.engine.signals import check_notice
    from trainer.errors import UsageError, did_you_mean
    from trainer.runs.directory import check_ended, check_free, claim, default_name
    from trainer.runs.files import RunFiles
    from trainer.runs.find import differences, find_run
    from trainer.runs.imports import import_named
    from trainer.runs.lock import RunLock
    from trainer.runs.trust import without_say
    from trainer.session import Parts, assemble, check, start
    from trainer.text import printable, program
except ImportError:
    runpy.run_path(str(Path(__file__).with_name("guard.py")))  # says why
    raise

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator, Mapping, Sequence

EXIT_STATUS = """Exit status: 0 done, 1 failed, 2 wrong usage or configuration; saved and stopped, to be resumed: 129 by
SIGHUP (closed terminal), 130 by Ctrl-C, 140 by SIGUSR2, 143 by SIGTERM, a file STOP or --stop-when, 152 by SIGXCPU."""
RECIPES = Path(__file__).parent / "recipes"
LISTS = {
    "models": registry.models,
    "plugins": registry.plugins,
    "data": registry.data_sources,
    "tasks": registry.tasks,
}


def parser() -> Parser:
    """Return the parser of the command line: the flags of the configuration, and those of `fit.py` itself."""
    p = Parser(description="Train a model, test it once, write everything to a run directory.", epilog=EXIT_STATUS)
    data, training = p.add_argument_group("data"), p.add_argument_group("training")
    add_flags({"model": p, "task": p, "data": data, "training": training, "optimizer": training})
    run = p.add_argument_group("run")
    run.add_argument(
        "--run-dir",
        type=Path,
        metavar="DIR",
        help="run directory, must not exist (default: runs/<model>-<date>-<time>)",
    )
    resume = "resume a run (default: the newest with this configuration)"
    run.add_argument("--resume", nargs="?", const="", metavar="RUN_DIR", help=resume)
    stop = "end as SIGTERM does once FILE appears, a spot machine's notice"
    run.add_argument("--stop-when", type=Path, metavar="FILE", help=stop)
    run.add_argument("--resume-anyway", action="store_true", help="resume though configuration or data differ")
    run.add_argument("--dry-run", action="store_true", help="check everything and print the plan, but do not train")
    run.add_argument("--plugin", action="append", default=[], metavar=SPEC, help="add a plugin, or set its arguments")
    run.add_argument("--no-plugin", action="append", default=[], metavar="NAME", help="leave out a plugin")
    run.add_argument("--register", metavar="NAME", help="register the model in MLflow, as a new version of this name")
    run.add_argument("--progress", metavar="auto|rich|plain|none", help="progress display on stderr (default: auto)")
    config = p.add_argument_group("configuration")
    config.add_argument("--recipe", metavar="NAME", help="named configuration, such as fast; see --list recipes")
    config.add_argument("--config", type=Path, metavar="FILE", help="TOML file, such as the config.toml of a run")
    config.add_argument("--set", action="append", default=[], metavar="A.B=VALUE", help="override a key of config.toml")
    config.add_argument("--print-config", action="store_true", help="print the resolved configuration and exit")
    config.add_argument("--import", action="append", default=[], metavar="MODULE", help="module that registers names")
    config.add_argument("--list", choices=[*LISTS, "recipes"], help="list available names and exit")
    return p


def configuration(args: Namespace) -> Config:
    """Return the configuration: defaults, then recipe and file (that of a run to resume), then `--set`, then flags.

    Raises:
        UsageError: If a key, name or value is wrong.
    """
    return combined(args, file_of(args))


def said(args: Namespace) -> Config:
    """Return what the user says himself: the same, without what a file may not decide.

    Raises:
        UsageError: As `configuration`.
    """
    return combined(args, without_say(file_of(args)))


def file_of(args: Namespace) -> dict[str, Any]:
    """Return what the file or the run to resume holds; nothing if there is none."""
    if args.config:
        return read_toml(args.config)
    return RunFiles(Path(args.resume)).config if args.resume else {}


def combined(args: Namespace, file: dict[str, Any]) -> Config:
    """Return the configuration with `file` as what a file holds."""
    layers = [*([read_recipe(RECIPES, args.recipe)] if args.recipe else []), file]
    config = resolve(layers, origin(args))
    config = override(with_names(config, args), args.set)
    layer = given(config, args)
    layer["plugins"] = chosen_plugins(config.plugins, args)
    layer["imports"] = list(dict.fromkeys([*config.imports, *getattr(args, "import")]))
    return resolve([config.to_dict(), layer])


def origin(args: Namespace) -> str:
    """Return where the configuration comes from, for messages."""
    return str(args.config or args.resume or args.recipe or "")


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
        show(f"{printable(name):<{width}}  {printable(text)}")


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


def print_result(result: Mapping[str, Any], run_dir: Path, config: Config, notices: Sequence[str] = ()) -> None:
    """Print the table of the result, the run directory, how to look at it, and what is to be noticed."""
    from plugins.mlflow.state import in_the_browser
    from trainer.console.tables import result_table

    lines = [result_table(result), f"run directory   {printable(run_dir)}"]
    if shown := in_the_browser(run_dir, config.plugins.get("mlflow", {}).get("tracking_uri")):
        command, address = shown
        lines += [f"in the browser  {printable(command)}", f"then open       {printable(address)}"]
    show("\n".join([*lines, *(f"notice          {printable(notice)}" for notice in notices)]), kept=True)


def print_plan(plan: list[tuple[str, str]], run_dir: Path) -> None:
    """Print what a run would do and where it would go."""
    from trainer.console.tables import table

    show(table([*plan, ("run directory", str(run_dir))]))


def main() -> int:
    """Train as the command line says; return the exit status."""
    args = parser().parse()
    if args.list:
        import_named(getattr(args, "import"))
        print_list(args.list)
        return 0
    config = configuration(args)
    root = Path(args.resume or args.run_dir or "runs/new").absolute().parent
    parts = check(config, said(args), root, origin(args))
    stages.show(config.plugins.get("progress", {"mode": "none"}).get("mode", "auto"))
    if args.print_config:
        show(config.to_toml().rstrip("\n"), as_is=True)
        return 0
    check_notice(args.stop_when)
    if args.resume is None:
        run_dir = args.run_dir or Path("runs") / default_name(config.model.name)
        check_free(run_dir)
        return train(args, config, parts, run_dir, None)
    run_dir = run_to_resume(args, config)
    if args.dry_run:
        check_ended(run_dir)
        return train(args, config, parts, run_dir, None)
    with claim(run_dir) as lock:
        return train(args, config, parts, run_dir, lock)


@contextmanager
def nothing_saved() -> Iterator[None]:
    """Have Ctrl-C in the meantime, before the first step, told as what it is."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt("stopped by Ctrl-C before training; nothing was saved") from None


def train(args: Namespace, config: Config, parts: Parts, run_dir: Path, lock: RunLock | None) -> int:
    """Train, or plan to; return the exit status.

    Args:
        args: The command line.
        config: The configuration.
        parts: What it names.
        run_dir: The run directory.
        lock: Its lock, if the run is resumed.
    """
    resumed, anyway = args.resume is not None, args.resume_anyway
    if resumed and is_done(run_files := RunFiles(run_dir), config):
        print_result(run_files.finished(), run_dir, config)
        return 0
    ledger = Ledger(STARTED)
    ledger.rest("imports")
    with nothing_saved():
        if config.model.args or config.optimizer.args:
            start(config, ledger)  # a wrong argument is all that is said
        if not args.dry_run:
            say(f"training {config.model.name} on {config.data.name}; everything goes to {run_dir}")
        session = assemble(config, parts, run_dir, ledger)
    trainer, data = session.trainer, session.data
    arguments = session.arguments(args.stop_when)
    if args.dry_run:
        print_plan(trainer.plan(data, resumed=resumed, anyway=anyway, **arguments), run_dir)
        return 0
    try:
        _ = trainer.resume(data, anyway=anyway, lock=lock, **arguments) if resumed else trainer.fit(data, **arguments)
    except KeyboardInterrupt:
        with nothing_saved():
            if not hasattr(trainer, "loop") or trainer.run.signal is None:  # else it is told below, with what was saved
                raise
    run = trainer.run
    if run.status == "interrupted" and run.signal is not None:
        saved = f"step {run.step} is saved; resume with --resume {run_dir}" if run.saved else "nothing was saved"
        say(f"{program()}: {run.stop_reason}; {saved}")
        return 128 + run.signal
    print_result(run.result, run_dir, config, run.data["notices"])
    return 0


if __name__ == "__main__":
    run_script(main)
