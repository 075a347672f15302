"""What words mean: parts of speech, lemmas, and WordNet; for the analysis of captions, never for serving."""
