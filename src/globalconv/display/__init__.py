"""What all commands share in their output: numbers as text, progress, and the style of plots."""
