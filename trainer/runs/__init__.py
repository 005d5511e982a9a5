"""Run directories: writing one, finding and reading them, and loading the models that they hold."""
