"""Random changes of images, each a pure function of images and a seed."""
