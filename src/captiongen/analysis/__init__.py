"""Which captions are worst, and why."""
