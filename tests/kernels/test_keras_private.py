"""Does Keras still have the internals that Inkwell reads, and does only one file read them?"""

from __future__ import annotations

import ast
import tomllib

import pytest
from conftest import ROOT, make_images, small_net

PRIVATE = {
    *("_learning_rate", "_get_variable_index", "_momentums", "_velocities"),
    *("_flatten_layers", "_inbound_nodes", "_nodes_by_depth", "_compile_config", "_built"),
}
HOME = ROOT / "trainer" / "kernels" / "keras_private.py"


def private_names(path) -> set[str]:
    """Return the private attributes that a file reads of anything but `self` and `cls`."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        own = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
        if isinstance(node, ast.Attribute) and not own and node.attr.startswith("_") and not node.attr.endswith("_"):
            found.add(node.attr)
    return found


def test_the_private_attributes_are_named_here_and_read_there():
    assert private_names(HOME) == PRIVATE
    others = [path for top in ("trainer", "plugins", "models") for path in (ROOT / top).rglob("*.py") if path != HOME]
    assert {str(path): names for path in others if (names := private_names(path) & PRIVATE)} == {}


def test_the_version_of_keras_is_bounded():
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    (keras,) = [each for each in dependencies if each.startswith("keras")]
    assert "<" in keras


def test_a_learning_rate_is_the_schedule_or_the_variable(keras):
    from trainer.kernels.keras_private import learning_rate_of

    schedule = keras.optimizers.schedules.CosineDecay(0.1, 10)
    assert learning_rate_of(keras.optimizers.SGD(schedule)) is schedule
    assert float(learning_rate_of(keras.optimizers.SGD(0.5))) == 0.5


@pytest.mark.parametrize("name", ["Adam", "AdamW"])
def test_the_moments_are_those_that_a_step_changes(keras, name):
    from trainer.kernels.keras_private import adam_moments

    variable = keras.Variable([1.0, 2.0])
    optimizer = getattr(keras.optimizers, name)(0.1, beta_1=0.5, beta_2=0.5)
    optimizer.build([variable])
    optimizer.apply([keras.ops.convert_to_tensor([2.0, 4.0])], [variable])
    first, second = (moment.numpy().tolist() for moment in adam_moments(optimizer, variable))
    assert (first, second) == ([1.0, 2.0], [2.0, 8.0])


def test_layers_are_found_in_models_in_models(keras):
    from trainer.kernels.keras_private import all_layers, is_called_twice

    inner = small_net(keras)
    images = keras.Input(make_images(1).images.shape[1:])
    shared = keras.layers.Dense(4, name="shared")
    model = keras.Model(images, shared(shared(inner(images))))
    assert {layer.name for layer in inner.layers} | {"shared"} <= {layer.name for layer in all_layers(model)}
    assert is_called_twice(shared)
    assert not is_called_twice(inner.layers[1])


def test_the_arguments_of_compile_are_the_objects_that_were_given(keras):
    from trainer.kernels.keras_private import compile_arguments

    def own(target, output):
        return keras.ops.mean(target - output)

    model, optimizer = small_net(keras), keras.optimizers.SGD(0.1)
    model.compile(optimizer, loss=own, metrics=["mae"], loss_weights=[2.0], steps_per_execution=3)
    arguments = compile_arguments(model)
    assert (arguments["optimizer"] is optimizer, arguments["loss"] is own) == (True, True)
    assert {key: arguments[key] for key in ("metrics", "weighted_metrics", "loss_weights")} == {
        "metrics": ["mae"],
        "weighted_metrics": None,
        "loss_weights": [2.0],
    }
    assert (arguments["run_eagerly"], arguments["steps_per_execution"]) == (False, 3)


def test_a_metric_without_variables_yet_is_not_built(keras):
    from trainer.kernels.keras_private import is_built

    metric = keras.metrics.F1Score()
    assert not is_built(metric)
    metric.update_state([[1.0, 0.0]], [[0.9, 0.1]])
    assert is_built(metric)
    assert is_built(keras.metrics.Mean())
