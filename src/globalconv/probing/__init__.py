"""What ``globalconv probe`` does: load the model, run the probes, write and plot their results."""
