"""Random augmentation of images, each change a pure function of the images and a seed."""
