"""What is learned: a task turns a model and a batch into a loss and metrics."""
