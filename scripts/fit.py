"""Train a model: `python scripts/fit.py --model lenet`."""

from __future__ import annotations

import runpy
import shlex
import time
from argparse import Action, ArgumentParser, Namespace, RawDescriptionHelpFormatter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

STARTED = time.perf_counter()

try:
    from trainer.console.starting import starting

    if __name__ == "__main__":
        starting()
    from scripts.catalogue.kinds import KINDS, RECIPES
    from trainer.config.flags import add_flags, given, with_names
    from trainer.config.merge import override, read_toml, resolve
    from trainer.config.recipes import read_recipe
    from trainer.config.schema import DEFAULT_PLUGINS, Config
    from trainer.config.spec import SPEC, parse_spec
    from trainer.console import stages
    from trainer.console.cli import Parser, run_script
    from trainer.console.output import say, show
    from trainer.errors import UsageError, did_you_mean
    from trainer.text import command, program
except ImportError:
    runpy.run_path(str(Path(__file__).with_name("guard.py")))  # says why
    raise

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from trainer.run import Run
    from trainer.runs.files import RunFiles
    from trainer.runs.lock import RunLock
    from trainer.session import Parts

EXAMPLES = """\
examples:
  {fit}
      train LeNet on MNIST, or on 5,000 of its images if it cannot be downloaded
  {fit} --recipe fast --data mnist
      train a recipe; --list recipes shows what each takes and reaches
  {fit} --data photos/ --model inknet:width=24 --epochs 20
      train on your own images, in one folder per class
  {fit} --plugin early_stopping:patience=3 --no-plugin mlflow
      set an argument of one plugin and leave out another
  {fit} --resume runs/NAME --epochs 30
      resume a run, or train a finished one for longer

exit status:
  0 done, 1 failed, 2 wrong usage or configuration. A run that was stopped is
  saved, to be resumed: 129 SIGHUP (closed terminal), 130 Ctrl-C, 140 SIGUSR2,
  143 SIGTERM, a file STOP or --stop-when, 152 SIGXCPU."""

HELP = "print this help; with a NAME, explain that model, plugin, task, data source, augmentation or recipe"
LISTED = ", ".join(KINDS)


class Help(Action):
    """`--help` prints the help and exits; a name after it is kept, to be explained once all flags are read."""

    def __call__(
        self, parser: ArgumentParser, namespace: Namespace, values: Any, option_string: str | None = None
    ) -> None:
        """Print the help, or keep the name."""
        if values is None:
            parser.print_help()
            parser.exit()
        setattr(namespace, self.dest, values)


def parser() -> Parser:
    """Return the parser of the command line: the flags of the configuration, and those of `fit.py` itself."""
    p = Parser(
        description="Train a model, test it once, and write everything to a run directory.",
        epilog=EXAMPLES.format(fit=command("fit")),
        formatter_class=RawDescriptionHelpFormatter,
        add_help=False,
    )
    names = p.add_argument_group("names")
    names.add_argument("-h", "--help", nargs="?", action=Help, metavar="NAME", help=HELP)
    names.add_argument("--list", nargs="?", const=True, choices=[*KINDS], metavar="KIND", help=f"list names: {LISTED}")
    data, training = p.add_argument_group("data"), p.add_argument_group("training")
    add_flags({"model": training, "task": training, "data": data, "training": training, "optimizer": training})
    run = p.add_argument_group("run")
    run.add_argument(
        "--run-dir",
        type=Path,
        metavar="DIR",
        help="run directory, which must not exist (default: runs/<model>-<date>-<time>)",
    )
    resume = "resume a run (default: the newest with this configuration)"
    run.add_argument("--resume", nargs="?", const="", metavar="RUN_DIR", help=resume)
    stop = "save and stop as soon as FILE exists, such as the notice of a spot machine"
    run.add_argument("--stop-when", type=Path, metavar="FILE", help=stop)
    run.add_argument("--resume-anyway", action="store_true", help="resume even if the configuration or data differ")
    run.add_argument("--dry-run", action="store_true", help="check everything and print the plan without training")
    run.add_argument("--plugin", action="append", default=[], metavar=SPEC, help="add a plugin, or set its arguments")
    run.add_argument("--no-plugin", action="append", default=[], metavar="NAME", help="leave out a plugin")
    run.add_argument("--register", metavar="NAME", help="register the model in MLflow as a new version of NAME")
    run.add_argument("--progress", metavar="auto|rich|plain|none", help="progress display on stderr (default: auto)")
    config = p.add_argument_group("configuration")
    config.add_argument("--recipe", metavar="NAME", help="named configuration, such as fast; see --list recipes")
    config.add_argument("--config", type=Path, metavar="FILE", help="TOML file, such as the config.toml of a run")
    config.add_argument("--set", action="append", default=[], metavar="A.B=VALUE", help="override a configuration key")
    config.add_argument("--print-config", action="store_true", help="print the resolved configuration and exit")
    config.add_argument("--import", action="append", default=[], metavar="MODULE", help="module that registers names")
    return p


def configuration(args: Namespace) -> Config:
    """Return the configuration: defaults, then recipe and file (that of a run to resume), then `--set`, then flags.

    Raises:
        UsageError: If a key, name or value is wrong.
    """
    return combined(args, file_of(args))


def said(args: Namespace) -> Config:
    """Return the part of the configuration that the user states: the same, without what a file may not decide.

    Raises:
        UsageError: As `configuration`.
    """
    from trainer.runs.trust import without_say

    return combined(args, without_say(file_of(args)))


def file_of(args: Namespace) -> dict[str, Any]:
    """Return the values of the file, or of the run to resume; nothing if there is neither."""
    if args.config:
        return read_toml(args.config)
    if not args.resume:
        return {}
    from trainer.runs.files import RunFiles

    return RunFiles(Path(args.resume)).config


def combined(args: Namespace, file: dict[str, Any]) -> Config:
    """Return the configuration with the values of `file` in the place of a file's."""
    layers = [*([read_recipe(RECIPES, args.recipe)] if args.recipe else []), file]
    config = resolve(layers, origin(args))
    config = override(with_names(config, args), args.set)
    layer = given(config, args)
    layer["plugins"] = chosen_plugins(config.plugins, args)
    layer["imports"] = list(dict.fromkeys([*config.imports, *getattr(args, "import")]))
    return resolve([config.to_dict(), layer])


def origin(args: Namespace) -> str:
    """Return the origin of the configuration, for messages."""
    return str(args.config or args.resume or args.recipe or "")


def chosen_plugins(configured: dict[str, dict[str, Any]], args: Namespace) -> dict[str, dict[str, Any]]:
    """Return the plugins in order: those configured, less `--no-plugin`, with `--plugin` updated or appended.

    Raises:
        UsageError: If a plugin to leave out is neither configured nor a default.
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
            raise UsageError("--register needs the plugin mlflow; remove --no-plugin mlflow")
        chosen["mlflow"]["register"] = args.register
    return chosen


def names(args: Namespace) -> str:
    """Return what `--help NAME` and `--list` ask for; nothing that is named is imported.

    Raises:
        UsageError: If nothing has the name, or a module cannot be imported.
    """
    if modules := getattr(args, "import"):
        from trainer.runs.imports import import_named

        import_named(modules)
    if args.help is not None:
        from scripts.catalogue.explain import explain

        return explain(args.help)
    from scripts.catalogue.lists import kinds_of_names, names_of

    return kinds_of_names() if args.list is True else names_of(args.list)


def run_to_resume(args: Namespace, config: Config) -> Path:
    """Return the directory of the run to resume.

    Raises:
        UsageError: If there is none, or its configuration differs.
    """
    from trainer.runs.files import RunFiles
    from trainer.runs.find import differences, find_run

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
    """Return True if a run has a result and is not asked to train for longer."""
    before, now = resolve([run.config]).training, config.training
    more = any(getattr(now, key) != getattr(before, key) for key in ("epochs", "steps", "min_steps", "max_time"))
    return run.has_result and not more


def print_result(result: Mapping[str, Any], data: Mapping[str, Any], run_dir: Path, config: Config) -> None:
    """Print the result, and what to do next: the report, the page to draw on, an evaluation, MLflow.

    Args:
        result: The content of `result.json`.
        data: What is known of the data; see `Data.describe`.
        run_dir: The run directory.
        config: The configuration, which names MLflow's store.
    """
    from plugins.mlflow.state import in_the_browser
    from trainer.console.ending import ending, next_steps
    from trainer.console.style import is_terminal

    steps = next_steps(run_dir, data)
    if shown := in_the_browser(run_dir, config.plugins.get("mlflow", {}).get("tracking_uri")):
        steps += zip(("MLflow", "then open"), shown, strict=True)
    gap = "\n" if is_terminal() else ""  # below the epochs
    show(f"{gap}{ending(result, data, run_dir, steps)}", as_is=True, kept=True)


def main() -> int:
    """Train as the command line says; return the exit status."""
    args = parser().parse()
    if args.help is not None or args.list is not None:
        show(names(args), as_is=True)
        return 0
    config = configuration(args)
    from trainer.session import check

    root = Path(args.resume or args.run_dir or "runs/new").absolute().parent
    parts = check(config, said(args), root, origin(args))
    stages.show(config.plugins.get("progress", {"mode": "none"}).get("mode", "auto"))
    if args.print_config:
        show(config.to_toml().rstrip("\n"), as_is=True)
        return 0
    from trainer.engine.signals import check_notice
    from trainer.runs.directory import check_ended, check_free, claim, default_name

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
    """Report a Ctrl-C before the first step as such."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt("stopped by Ctrl-C before training; nothing was saved") from None


def train(args: Namespace, config: Config, parts: Parts, run_dir: Path, lock: RunLock | None) -> int:
    """Train, or plan to; return the exit status.

    Args:
        args: The command line.
        config: The configuration.
        parts: The plugins and the task that it names.
        run_dir: The run directory.
        lock: Its lock, if the run is resumed.
    """
    from trainer.console.tables import table
    from trainer.engine.ledger import Ledger
    from trainer.runs.files import RunFiles
    from trainer.session import assemble, start

    resumed, anyway = args.resume is not None, args.resume_anyway
    if resumed and is_done(files := RunFiles(run_dir), config):
        say(f"{program()}: {run_dir} is finished; add --epochs or --steps to train it for longer")
        print_result(files.finished(), files.run.data, run_dir, config)
        return 0
    ledger = Ledger(STARTED)
    ledger.rest("imports")
    with nothing_saved():
        if config.model.args or config.optimizer.args:
            start(config, ledger)  # so that a wrong argument is the only line
        if not args.dry_run:
            where = "" if config.data.name == "auto" else f" on {config.data.name}"
            say(f"training {config.model.name}{where}; run directory: {run_dir}")
        session = assemble(config, parts, run_dir, ledger)
    trainer, data = session.trainer, session.data
    arguments = session.arguments(args.stop_when)
    if args.dry_run:
        rows = trainer.plan(data, resumed=resumed, anyway=anyway, **arguments)
        show(table([*rows, ("run directory", str(run_dir))]))
        return 0
    try:
        _ = trainer.resume(data, anyway=anyway, lock=lock, **arguments) if resumed else trainer.fit(data, **arguments)
    except KeyboardInterrupt:
        with nothing_saved():
            if not hasattr(trainer, "loop") or trainer.run.signal is None:  # else reported below, with what was saved
                raise
    return ended(trainer.run, run_dir, config)


def ended(run: Run, run_dir: Path, config: Config) -> int:
    """Print how a run ended: its result, or how to resume it; return the exit status."""
    if run.status == "interrupted" and run.signal is not None:
        again = f"{command('fit')} --resume {shlex.quote(str(run_dir))}"
        saved = f"step {run.step:,} is saved; resume with {again}" if run.saved else "nothing was saved"
        say(f"{program()}: {run.stop_reason}; {saved}")
        return 128 + run.signal
    print_result(run.result, run.data, run_dir, config)
    return 0


if __name__ == "__main__":
    run_script(main)
