"""What attention costs is measured where the generator is: confined, without a file."""

import subprocess
import sys

_CONFINED = """
from insights.workers.confinement import confine
confine([])
from insights.inference import probing
from insights.inference.weights import Weights
shape = dict(path="", architecture="llama", name="", layers=1, context=1, vocabulary=1)
def found(heads, kv_heads, head_size):
    sizes = dict(embedding=1, heads=heads, kv_heads=kv_heads, head_size=head_size, file_bytes=1)
    return probing.attention(Weights(**shape, **sizes))
some = found(8, 2, 64)
assert 0 < some.flash_s < 10 and 0 < some.plain_s < 10, some
assert found(8, 2, 63) is None and found(64, 1, 64) is None
"""


def test_attention_is_measured_in_a_confined_process() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _CONFINED], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2_000:]
