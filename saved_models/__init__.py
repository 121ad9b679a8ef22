"""The SavedModels that come with the install: `<name>/<version>/`, each with its model card."""
