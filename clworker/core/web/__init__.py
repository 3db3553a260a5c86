"""What a worker shows over HTTP, read-only: health, metrics and a live page (``run --http``)."""
