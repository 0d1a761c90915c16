"""One plain training loop, and one module per model that builds data, model and step."""
