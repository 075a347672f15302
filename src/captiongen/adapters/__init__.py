"""One vendor, one file: everything that talks to DVC, MLflow, Great Expectations, BentoML."""
