"""A reverse proxy before a gateway or a model's API, which counts what goes through."""
