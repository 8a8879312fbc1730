"""How the tests draw examples: the same ones in each run by default, many new ones with HYPOTHESIS_PROFILE=thorough."""

from __future__ import annotations

import os
import signal

from hypothesis import HealthCheck, Phase, settings
from numba.core import config

slow_to_draw = [HealthCheck.too_slow, HealthCheck.data_too_large]
settings.register_profile(
    "default", deadline=None, derandomize=True, database=None, max_examples=25, suppress_health_check=slow_to_draw
)
settings.register_profile(
    "thorough", deadline=None, max_examples=200, print_blob=True, suppress_health_check=slow_to_draw
)
# Without the compiler each kernel is a Python loop: enough examples to run every line, not more.
settings.register_profile("uncompiled", settings.get_profile("default"), max_examples=10)
# For planted bugs: that a test fails is all that counts.
settings.register_profile(
    "first failure", settings.get_profile("default"), max_examples=10, phases=[Phase.explicit, Phase.generate]
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "uncompiled" if config.DISABLE_JIT else "default"))

# Shells start what they put in the background deaf to Ctrl-C, and all that these start would be so too.
signal.signal(signal.SIGINT, signal.default_int_handler)
