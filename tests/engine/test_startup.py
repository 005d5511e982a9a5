"""Is Keras imported without what training does not need, and is everything else left as it is?"""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAMS = {
    "left out, and there when it is asked for later": """
        from trainer import startup
        startup.start(0)
        assert not {"matplotlib", "pandas", "sklearn"} & set(sys.modules), "they were imported"
        import pandas, keras
        assert keras.layers.Dense(2)(keras.ops.ones((1, 3))).shape == (1, 2)
        """,
    "left whole if the program imported it before": """
        import keras
        from trainer import startup
        startup.start(0)
        keras.wrappers.SKLearnClassifier(keras.Model)
        """,
    "left to other threads": """
        from concurrent.futures import ThreadPoolExecutor
        from trainer import startup
        with startup.without(("pandas",)), ThreadPoolExecutor(1) as reader:
            assert reader.submit(__import__, "pandas").result().DataFrame
        """,
}


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_the_extras_of_keras_are(program):
    code = "import sys\n" + "\n".join(line[8:] for line in program.splitlines())
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
