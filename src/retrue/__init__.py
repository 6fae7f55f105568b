"""retrue keeps a model true to the world it works in.

>>> import retrue
>>> retrue.open_dataset.__name__  # retrue.open_dataset("v2").rows is a pandas table
'open_dataset'
"""

from importlib import import_module

__all__ = ["__version__"]  # and `open_dataset`, see `__getattr__`

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    # By name, when asked for: `import retrue` stays quick, and nothing below depends on it.
    if name == "open_dataset":
        return getattr(import_module("retrue.dataset"), name)
    raise AttributeError(f"module 'retrue' has no attribute {name!r}")
