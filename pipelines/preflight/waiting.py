"""Display of waiting in `check`: on a terminal at once, in a log once it takes long."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from rich.console import Console

from engine.formatting import duration

Watch = Callable[[str], AbstractContextManager[object]]
"""Called with what begins; the context ends with it."""
FIRST_S = 5.0
"""After how long, s, a log says what is waited for; after twice as long again, and so on."""


def unwatched(what: str) -> AbstractContextManager[object]:
    """Wait without a display."""
    del what
    return nullcontext()


def watch(console: Console) -> Watch:
    """Report on a console what is waited for and how long."""

    @contextmanager
    def waiting(what: str) -> Iterator[None]:
        begun, done = time.monotonic(), threading.Event()
        status = console.status(what) if console.is_terminal else None

        def tell() -> None:
            wait = 1.0 if status else FIRST_S
            while not done.wait(wait):
                text = f"{what}: {duration(time.monotonic() - begun)}"
                if status:
                    status.update(text)
                else:
                    console.print(f"waiting: {text}", highlight=False, markup=False, soft_wrap=True)
                    wait *= 2

        teller = threading.Thread(target=tell, daemon=True)
        teller.start()
        try:
            with status or nullcontext():
                yield
        finally:
            done.set()
            teller.join()

    return waiting
