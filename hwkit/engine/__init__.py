"""Files, processes, devices and checkpoints: the machinery under a training."""
