"""Caption metrics with intervals, human ceiling and floor."""
