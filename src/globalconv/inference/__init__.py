"""What a study's trained models are used for: continue a text, classify new rows."""
