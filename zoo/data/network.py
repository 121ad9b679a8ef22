"""Whether there is a network, asked before TensorFlow is imported and before TFDS tries for minutes."""

from __future__ import annotations

import http.client
import queue
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterable

from zoo.errors import ZooError

SECONDS = 3.0


def no_network(name: str, instead: str) -> ZooError:
    """What is said when a set cannot be reached.

    Args:
        name: the set.
        instead: the sets that need no network.
    """
    return ZooError(f"{name} has to be downloaded, and there is no network. These need none:\n{instead}.")


def reachable(urls: Iterable[str]) -> bool:
    """Whether one of some hosts answers within three seconds.

    Args:
        urls: the hosts. Any answer will do, an error too; proxies are honoured.
    """
    answers: queue.SimpleQueue[bool] = queue.SimpleQueue()

    def ask(url: str) -> None:
        try:
            with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=SECONDS):
                answers.put(True)
        except urllib.error.HTTPError:
            answers.put(True)
        except (OSError, http.client.HTTPException, ValueError):  # of a proxy that is none, or its address
            answers.put(False)

    asked = list(urls)
    for url in asked:
        # A daemon: a name server that never answers cannot be interrupted.
        threading.Thread(target=ask, args=(url,), daemon=True).start()
    deadline = time.monotonic() + SECONDS
    try:
        return any(answers.get(timeout=max(deadline - time.monotonic(), 0.01)) for _ in asked)
    except queue.Empty:
        return False
