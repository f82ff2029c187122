from fake_plugins import fakes, offer, spec

__all__ = ["fakes", "offer", "spec"]
