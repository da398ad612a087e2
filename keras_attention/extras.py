"""Optional packages, imported only where they are used."""

import importlib
from importlib import metadata
from types import ModuleType


def require(module: str, *, extra: str, purpose: str) -> ModuleType:
    """Import an optional module, or say how to install it.

    Args:
        module: dotted name, such as `"tensorflow_datasets"`.
        extra: the extra of this package that brings it: `"data"`, `"logs"`…
        purpose: what needs it, as the start of a sentence: `"The digits set"`.

    Raises:
        ImportError: the module, or something it imports, is not installed. The
            message names the missing package and the command that installs it.
    """
    try:
        return importlib.import_module(module)
    except (ImportError, metadata.PackageNotFoundError) as error:
        missing = getattr(error, "name", None) or module
        raise ImportError(
            f"{purpose} needs the package {missing!r}, which is not installed. "
            f"Install it with: pip install 'keras_attention[{extra}]'",
            name=missing,
        ) from error
