"""Architectures by name; one file each. Listed here, so that names can be shown without importing Keras.

A builder is `build(input_shape, num_classes, **hyper) -> keras.Model`, from images float32 `[N, H, W, C]` in [0, 1] to
logits float32 `[N, num_classes]`.
"""

from trainer.registry import models

models.table(
    {
        "lenet": ("models.lenet:lenet", "LeNet-5 with ReLU and max pooling, 61,706 parameters"),
        "lenet5": ("models.lenet5:lenet5", "LeNet-5 as published in 1998, 60,000 parameters"),
        "mlp": ("models.mlp:mlp", "two dense layers with dropout, 669,706 parameters"),
        "simple_cnn": ("models.simple_cnn:simple_cnn", "the convnet of the Keras examples, 34,826 parameters"),
    }
)
