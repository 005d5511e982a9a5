"""Is the activation at the end of a model recognized, however it was written?"""

from __future__ import annotations

import pytest

from trainer.tasks.heads import UNKNOWN, head_activations

ENDINGS = {
    "linear": lambda keras: keras.layers.Dense(4),
    "softmax": lambda keras: keras.layers.Dense(4, activation="softmax"),
    "sigmoid": lambda keras: keras.layers.Dense(1, activation=keras.activations.sigmoid),
    "relu": lambda keras: keras.layers.Dense(4, "relu"),
}


def model(keras, *layers):
    images = keras.Input((6, 6, 1))
    x = keras.layers.Flatten()(images)
    for layer in layers:
        x = layer(x)
    return keras.Model(images, x)


@pytest.mark.parametrize("name", ENDINGS)
def test_the_activation_of_the_last_layer_is_found(keras, name):
    layers = keras.layers
    assert head_activations(model(keras, ENDINGS[name](keras))) == [name]
    assert head_activations(keras.Sequential([layers.Flatten(), ENDINGS[name](keras)])) == [name]
    cast = layers.Activation("linear", dtype="float32")
    assert head_activations(model(keras, ENDINGS[name](keras), layers.Reshape((-1,)), cast)) == [name]


def test_an_activation_may_be_a_layer_an_operation_or_in_a_nested_model(keras):
    layers, dense = keras.layers, keras.layers.Dense
    assert head_activations(model(keras, dense(4), layers.Softmax())) == ["softmax"]
    assert head_activations(model(keras, dense(4), layers.Activation("sigmoid"), layers.Dropout(0.1))) == ["sigmoid"]
    assert head_activations(model(keras, dense(4), layers.ReLU())) == ["relu"]
    assert head_activations(model(keras, dense(4), keras.ops.softmax)) == ["softmax"]
    assert head_activations(model(keras, keras.Sequential([dense(4), layers.Softmax()]))) == ["softmax"]
    vector = keras.Input((36,))
    assert head_activations(model(keras, keras.Model(vector, dense(1, "sigmoid")(vector)))) == ["sigmoid"]
    assert head_activations(keras.Sequential([model(keras, dense(4, "softmax"))])) == ["softmax"]


def test_every_output_has_its_own(keras):
    images = keras.Input((6,))
    outputs = {"a": keras.layers.Dense(3, "softmax")(images), "b": keras.layers.Dense(1)(images)}
    assert head_activations(keras.Model(images, outputs)) == ["softmax", "linear"]


def test_a_model_without_a_graph_is_unknown(keras):
    class Own(keras.Model):
        def call(self, x):
            return x

    assert head_activations(Own()) == [UNKNOWN]


def test_a_head_that_is_called_twice_is_unknown_or_its_own(keras):
    one, two, head = keras.Input((6,)), keras.Input((6,)), keras.layers.Dense(3, "softmax")
    assert set(head_activations(keras.Model([one, two], [head(one), head(two)]))) <= {"softmax", UNKNOWN}
