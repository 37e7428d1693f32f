"""What to say when memory is full while something is trained."""

from collections.abc import Iterator
from contextlib import contextmanager

from MediRoundLib.errors import MediRoundError, OutOfMemory, is_out_of_memory


@contextmanager
def settings_named(settings: str) -> Iterator[None]:
    """Turn running out of memory, of the device or the computer, into one sentence that ends with what to change."""
    try:
        yield
    except MediRoundError:  # such as the engine's own, which names its way out
        raise
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise OutOfMemory(f"Training ran out of memory: {settings}.") from error
