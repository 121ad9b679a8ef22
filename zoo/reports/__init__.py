"""Results that people look at: pictures and curves."""
