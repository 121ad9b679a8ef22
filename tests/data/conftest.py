"""On a busy machine a property may take long: what counts is whether it holds."""

from hypothesis import settings

settings.register_profile("data", deadline=None, max_examples=50)
settings.load_profile("data")
