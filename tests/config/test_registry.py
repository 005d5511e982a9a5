"""Are names found, and are errors in them or in their arguments reported?"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
import pytest
from pydantic import Field

from trainer.errors import UsageError
from trainer.registry import Registry

if TYPE_CHECKING:
    from nowhere import OnlyForTypeCheckers

SETTABLE = "(width: int = 8, drop: float = 0.0, mode: Literal['fast', 'slow'] = 'fast')"


@pytest.fixture
def registry() -> Registry:
    return Registry("model", "inkwell.nothing")


def build(
    input_shape: tuple[int, int, int],
    width: int = 8,
    drop: Annotated[float, Field(ge=0, lt=1)] = 0.0,
    mode: Literal["fast", "slow"] = "fast",
) -> OnlyForTypeCheckers:
    """Build nothing.

    Not even that.
    """
    if width == 13:
        raise ValueError("13 brings bad luck\nand more of it")
    if width == 0:
        raise ValueError
    return input_shape, width, drop, mode


def refusal(registry: Registry, name: str, *args, **kwargs) -> str:
    """Return the error message for a call that must be refused."""
    with pytest.raises(UsageError) as caught:
        registry.build(name, *args, **kwargs)
    return str(caught.value)


def test_what_is_registered_is_built_by_name_and_listed_with_its_first_line(registry):
    assert registry.register("net")(build) is build
    assert registry.build("net", (1, 2, 3), width=4) == ((1, 2, 3), 4, 0.0, "fast")
    (entry,) = registry.entries()
    assert (entry.name, entry.help) == ("net", "Build nothing.")


def test_an_unknown_name_is_reported_with_the_nearest_and_all_others(registry):
    registry.table({"lenet": ("nowhere:lenet", ""), "mlp": ("nowhere:mlp", "")})
    assert refusal(registry, "lenett") == "unknown model 'lenett'; did you mean 'lenet'? (known: lenet, mlp)"


def test_a_name_like_no_other_gets_no_suggestion(registry):
    registry.table({"lenet": ("nowhere:lenet", "")})
    assert refusal(registry, "xyz") == "unknown model 'xyz' (known: lenet)"


def test_an_empty_registry_says_that_it_knows_nothing(registry):
    assert refusal(registry, "xyz") == "unknown model 'xyz' (known: none)"


def test_one_name_for_two_things_is_refused_and_names_both(registry):
    registry.register("net")(build)
    with pytest.raises(
        UsageError, match=r"^model name 'net' is taken by test_registry:build; choose another name for "
    ):
        registry.register("net")(refusal)
    assert registry.resolve("net") is build


def test_the_same_thing_may_be_registered_twice_under_its_name(registry):
    registry.table({"net": (f"{__name__}:build", "from the table")})
    registry.register("net")(build)
    assert [entry.help for entry in registry.entries()] == ["from the table"]


def test_one_thing_may_have_two_names(registry):
    registry.register("net")(build)
    registry.register("mesh")(build)
    assert registry.resolve("net") is registry.resolve("mesh") is build


def test_a_class_of_a_function_body_is_found_by_its_name(registry):
    @registry.register("local")
    class Local:
        """Here today."""

    assert isinstance(registry.build("local"), Local)


def test_a_table_lists_names_without_importing_anything(registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "lazy_net.py").write_text("def net():\n    return 'built'\n")
    monkeypatch.syspath_prepend(tmp_path)
    registry.table({"net": ("lazy_net:net", "a net"), "gone": ("no_such_module:gone", "never made")})
    assert [(entry.name, entry.help) for entry in registry.entries()] == [("net", "a net"), ("gone", "never made")]
    assert registry.find("net").target == "lazy_net:net"
    assert "lazy_net" not in sys.modules
    assert registry.build("net") == "built"
    assert "lazy_net" in sys.modules


def test_our_own_names_are_known_without_an_import_and_come_first():
    program = (
        "import sys\n"
        "from trainer import registry\n"
        "assert not {'models', 'plugins', 'trainer.tasks'} & set(sys.modules)\n"
        "registry.models.register('own')(print)\n"
        "for table in (registry.models, registry.plugins, registry.data_sources, registry.tasks):\n"
        "    print(table.entries()[0].name, table.entries()[-1].name)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "lenet own",
        "checkpoint report",
        "auto arrays",
        "classification members",
    ]


def test_a_misspelt_argument_is_reported_with_the_nearest_and_the_signature(registry):
    registry.register("net")(build)
    expected = f"model 'net' has no argument 'widht'; did you mean 'width'? it takes {SETTABLE}"
    assert refusal(registry, "net", (1, 2, 3), widht=4) == expected


def test_what_the_engine_gives_cannot_be_given_again(registry):
    registry.register("net")(build)
    said = refusal(registry, "net", (1, 2, 3), input_shape=4)
    assert said == f"model 'net' has no argument 'input_shape'; it takes {SETTABLE}"


def test_a_missing_argument_is_reported_with_the_signature(registry):
    @registry.register("sized")
    def sized(size: int, *, depth: int):
        return size, depth

    assert refusal(registry, "sized", depth=1) == (
        "model 'sized': missing a required argument: 'size'; it takes (size: int, depth: int)"
    )


def test_a_builder_without_arguments_says_so(registry):
    @registry.register("plain")
    def plain():
        return None

    assert refusal(registry, "plain", width=1) == "model 'plain' has no argument 'width'; it takes no arguments"


def test_a_builder_that_takes_anything_gets_it(registry):
    @registry.register("open")
    def anything(**kwargs):
        return kwargs

    assert registry.build("open", a=1, b="x") == {"a": 1, "b": "x"}


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"width": "wide"}, "width='wide': must be a whole number"),
        ({"width": 2.5}, "width=2.5: must be a whole number, got a number with a fractional part"),
        ({"drop": "half"}, "drop='half': must be a number"),
        ({"drop": 2}, "drop=2: must be less than 1"),
        ({"drop": -0.1}, "drop=-0.1: must be greater than or equal to 0"),
        ({"mode": "fats"}, "mode='fats': no such choice; did you mean 'fast'? (choices: fast, slow)"),
    ],
)
def test_an_argument_of_the_wrong_type_or_range_is_reported_with_the_signature(registry, arguments, reason):
    registry.register("net")(build)
    assert refusal(registry, "net", (1, 2, 3), **arguments) == f"model 'net': {reason}; it takes {SETTABLE}"


def test_arguments_are_converted_to_the_declared_types(registry):
    @registry.register("typed")
    class Typed:
        def __init__(self, units: tuple[int, ...] = (), rate: float = 0.0):
            self.units, self.rate = units, rate

    built = registry.build("typed", units=[3, 4], rate=1)
    assert (built.units, built.rate) == ((3, 4), 1.0)
    assert (type(built.units), type(built.rate)) == (tuple, float)


def test_arguments_whose_types_cannot_be_checked_are_handed_on(registry):
    @registry.register("free")
    def free(untyped, array: np.ndarray, hidden: OnlyForTypeCheckers):
        return untyped, array, hidden

    assert registry.build("free", untyped="a", array="b", hidden="c") == ("a", "b", "c")


def test_a_value_that_the_builder_refuses_is_one_line(registry):
    registry.register("net")(build)
    assert refusal(registry, "net", (1, 2, 3), width=13) == "model 'net': 13 brings bad luck"
    assert refusal(registry, "net", (1, 2, 3), width=0) == "model 'net': ValueError"


def test_a_bug_in_a_builder_is_not_taken_for_a_wrong_argument(registry):
    @registry.register("buggy")
    def buggy():
        return {}["key"]

    with pytest.raises(KeyError, match=re.escape("'key'")):
        registry.build("buggy")
