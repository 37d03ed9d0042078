"""What all commands show: numbers as text, progress, and the style of pictures."""
