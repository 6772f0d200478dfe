"""Random sequences on pgweir and directly: twins.py says how. PGWEIR_SEED is another seed, PGWEIR_STEPS how many steps.

The seed is a fixed one, so that a change is judged by what it changes; twins.py by itself takes a new one each time, for long runs.
"""
import os

import twins as prop
import pytest
from wire import SLOW

SEED = int(os.environ.get("PGWEIR_SEED") or 7000)
STEPS = int(os.environ.get("PGWEIR_STEPS") or 10000 // SLOW)
CHUNK = 1000


@pytest.mark.timeout(1200 * SLOW)
@pytest.mark.parametrize("n_servers", [1, 2])
def test_SS_sessions_are_as_on_a_direct_connection(new_pooler, postgres, n_servers):
    """SS-01 .. SS-11, PS, TX: what clients see, step by step; afterwards fresh clients on every server see defaults and nothing else."""
    print("PGWEIR_SEED=%d" % SEED)
    p = prop.own_pooler(new_pooler(prop.settings(n_servers), start=False))
    done = 0
    while done < STEPS // 2:
        done += prop.run(p, postgres, n_servers, SEED + done, min(CHUNK, STEPS // 2))
    assert done >= STEPS // 2
