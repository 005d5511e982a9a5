"""Architectures by name, one file each; listed here so that names can be shown without importing Keras.

A builder is `build(input_shape, num_classes, **hyper) -> keras.Model`, from images float32 `[N, H, W, C]` in [0, 1] to
logits float32 `[N, num_classes]`. Parameter counts are of trainable parameters, as in papers, for images of 28 x 28 x 1
and 10 classes.
"""

from trainer.registry import models, tasks

models.table(
    {
        "lenet": ("models.lenet:lenet", "LeNet-5 with ReLU and max pooling, 61,706 parameters"),
        "lenet5": ("models.lenet5:lenet5", "LeNet-5 as published in 1998, 60,000 parameters"),
        "mlp": ("models.mlp:mlp", "two dense layers with dropout, 669,706 parameters"),
        "simple_cnn": ("models.simple_cnn:simple_cnn", "the convnet of the Keras examples, 34,826 parameters"),
        "inknet": ("models.inknet:inknet", "Inkwell's own, trains in a minute on two cores, 71,226 parameters"),
        "speed24": ("models.speed24:speed24", "99 % after one epoch (tuomaso 2020), 215,194 parameters"),
        "simple7": ("models.simple7:simple7", "seven convolutions (Deotte 2018), 326,410 parameters"),
        "vgg_mini": ("models.vgg_mini:vgg_mini", "a small VGG (j05t 2018), 598,250 parameters"),
        "beautiful": ("models.beautiful:beautiful", "the MNIST example of tinygrad, 87,850 parameters"),
        "resnet20": ("models.resnet20:resnet20", "ResNet for small images (He et al. 2015), 271,994 parameters"),
        "se_net": ("models.se_net:se_net", "squeeze and excitation (Matuzas77 2020), 169,308 parameters"),
        "m3": ("models.kernel_cnn:m3", "ten 3 x 3 convolutions, no pooling (An et al. 2020), 1,124,180 parameters"),
        "m5": ("models.kernel_cnn:m5", "five 5 x 5 convolutions, no pooling (An et al. 2020), 1,128,180 parameters"),
        "m7": ("models.kernel_cnn:m7", "four 7 x 7 convolutions, no pooling (An et al. 2020), 2,291,972 parameters"),
        "dscnn": ("models.dscnn:dscnn", "depthwise separable, after MobileNet (2017), 54,346 parameters"),
        "convnext_mini": (
            "models.convnext_mini:convnext_mini",
            "a small ConvNeXt (Liu et al. 2022), 321,658 parameters",
        ),
        "vit_tiny": ("models.vit_tiny:vit_tiny", "a small vision transformer (2020), 205,834 parameters"),
        "mixer_tiny": ("models.mixer_tiny:mixer_tiny", "a small MLP-Mixer (2021), 148,110 parameters"),
        "efficient_capsnet": (
            "models.efficient_capsnet:efficient_capsnet",
            "capsules with self-attention routing (Mazzia et al. 2021), 161,824 parameters",
        ),
        "tiny9k": ("models.tiny9k:tiny9k", "four convolutions designed for CPU speed, 9,722 parameters"),
        "tiny10k": ("models.tiny10k:tiny10k", "seven thin convolutions, 9,980 parameters"),
        "micro2k": ("models.micro2k:micro2k", "one separable convolution applied three times, 1,936 parameters"),
        "nano700": ("models.nano700:nano700", "four thin separable convolutions, 697 parameters"),
        "ensemble": (
            "models.ensemble.model:ensemble",
            "average of several models, two LeNets by default, 123,412 parameters",
        ),
    }
)

tasks.table({"members": ("models.ensemble.task:Members", "classification by an ensemble trained in a single run")})
