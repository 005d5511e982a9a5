"""Several networks as one: the model, the task that trains one, and the function that combines finished runs."""
