"""How a worker process begins: by watching its parent, before it imports anything that takes time."""

import os
import pickle
import threading
from multiprocessing import connection, parent_process


def begin(pipe: connection.Connection, work: bytes) -> None:
    """Call a pickled ``(function, *arguments)`` with the pipe before the arguments; end when the parent does.

    The parent may be killed at any moment, this process be importing torch or at a shard that takes minutes.
    """
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()
    function, *arguments = pickle.loads(work)  # imports what they are made of
    function(pipe, *arguments)


def _end_with(sentinel: int) -> None:
    connection.wait([sentinel])
    os._exit(1)
