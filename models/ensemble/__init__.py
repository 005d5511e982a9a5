"""Several networks as one: the model, the task that trains it, and the function that combines finished runs."""
