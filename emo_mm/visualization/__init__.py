"""Images of what a model predicts, and of what goes on inside it."""
