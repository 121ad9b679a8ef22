"""The models: one paper, one file. A new file here is a new model; nothing else lists them."""
