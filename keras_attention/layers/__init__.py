"""One attention per file: a layer and its registered spec.

Every module of this folder is imported here and its `__all__` re-exported, so
that a new file is a new attention with no other edit.
"""

import importlib
import pkgutil

__all__ = []
for _module in sorted(info.name for info in pkgutil.iter_modules(__path__)):
    _loaded = importlib.import_module(f"{__name__}.{_module}")
    for _name in getattr(_loaded, "__all__", ()):
        globals()[_name] = getattr(_loaded, _name)
        __all__.append(_name)
