"""What all commands show: numbers in words, progress, and the style of pictures."""
