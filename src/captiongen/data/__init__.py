"""Pictures and captions on their way to the model: sources, manifest, images, shards, batches."""
