"""Tasks whose results are arrays that are kept, so that an interrupted stage goes on from them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from distributed import Client

from engine.execution.ledger import Scratch
from engine.execution.tasks import Progress, run_each, silent


def run_kept(
    client: Client,
    function: Any,
    items: Mapping[str, Any],
    *shared: Any,
    scratch: Scratch | None = None,
    progress: Progress = silent,
    name: str = "task",
) -> dict[str, np.ndarray]:
    """Run `function(item, *shared)` for every item that the scratch has no result of, see `run_each`.

    Parameters
    ----------
    items : mapping
        Name under which its result is kept → item.
    scratch : Scratch, optional
        Of all that the results depend on.

    Returns
    -------
    dict
        Name → result, in the order of the items.
    """
    scratch = scratch or Scratch(None)
    results = {key: kept for key in items if (kept := scratch.load(key)) is not None}
    todo = [(key, item) for key, item in items.items() if key not in results]
    tasks = run_each(
        client, _second, todo, function, *shared, total=len(items), before=len(results), progress=progress, name=name
    )
    for (key, _), result in tasks:
        scratch.save(key, result)
        results[key] = result
    return {key: results[key] for key in items}


def _second(pair: tuple[str, Any], function: Any, *shared: Any) -> Any:
    return function(pair[1], *shared)
