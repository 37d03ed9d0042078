"""What each token mixer costs here against the length: `globalconv cost`."""
