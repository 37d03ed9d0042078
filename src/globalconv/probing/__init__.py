"""What ``globalconv probe`` does: find the model, put the probes to it, draw and write what they found."""
