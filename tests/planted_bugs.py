"""Plant bugs in a copy of minadder, one at a time, and see the tests catch them.

    python tests/planted_bugs.py            # all
    python tests/planted_bugs.py NAME ...   # some

Each bug replaces a piece of source that occurs exactly once. The tests named for it must pass on the unchanged copy and
fail on the changed one. Where a bug is in a kernel they run without the compiler, which would have to compile anew for
each. The exit code is 1 if a bug is missed: a test that cannot fail checks nothing.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

UNCOMPILED = {"NUMBA_DISABLE_JIT": "1"}


@dataclass(frozen=True)
class Bug:
    """A change of the source that some test must catch.

    Parameters
    ----------
    file
        Where, inside the package.
    right, wrong
        The source as it is, occurring once, and what stands there instead.
    tests
        Arguments for pytest: what is meant to catch it.
    environment
        Variables for the tests.
    """

    file: str
    right: str
    wrong: str
    tests: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)


def in_kernel(file: str, right: str, wrong: str, *tests: str) -> Bug:
    """Return a bug in a kernel."""
    return Bug(f"kernels/{file}", right, wrong, tests, UNCOMPILED)


ADDER = "tests/test_kernels_adder.py"
REGISTRY = "tests/test_ops_registry.py"

BUGS = {
    "adder sign flipped": in_kernel(
        "rows.py", "out[t, p] -= s01 + s23", "out[t, p] += s01 + s23", ADDER, "-k", "bug_minus_sign"
    ),
    "padding ignored": in_kernel(
        "patches.py",
        """                    y = out_row * geo.stride_y - geo.padding_y + i * geo.dilation_y
                    k = (c * geo.kernel_height + i) * geo.kernel_width + j
                    if y < 0 or y >= geo.height:
                        for q in range(length):""",
        """                    y = out_row * geo.stride_y + i * geo.dilation_y
                    k = (c * geo.kernel_height + i) * geo.kernel_width + j
                    if y < 0 or y >= geo.height:
                        for q in range(length):""",
        ADDER,
        "-k",
        "padded_cell",
    ),
    "stride ignored in the input gradient": in_kernel(
        "patches.py",
        "x[image, first_channel + c, y, left + q * geo.stride_x] += columns[k, p + q]",
        "x[image, first_channel + c, y, left + q] += columns[k, p + q]",
        ADDER,
        "-k",
        "bug_input_gradient",
    ),
    "last row skipped": in_kernel(
        "geometry.py",
        "return (padded[0] - spans[0]) // stride[0] + 1,",
        "return (padded[0] - spans[0] - 1) // stride[0] + 1,",
        ADDER,
        "-k",
        "bug_bottom_rows",
    ),
    "last channel missing": in_kernel(
        "windowed.py",
        """    for t in range(0, w.shape[0], 4):
        for k in range(win[0].length):""",
        """    for t in range(0, w.shape[0], 4):
        for k in range(win[0].length - win[0].kernel_height * win[0].kernel_width):""",
        ADDER,
    ),
    "groups ignored": in_kernel(
        "windowed.py",
        "forward_group(patches, x, first // filters * geo.channels, rows,",
        "forward_group(patches, x, 0, rows,",
        ADDER,
        "-k",
        "bug_groups",
    ),
    "every image is the first": in_kernel(
        "patches.py",
        "columns[k, target + q] = x[image, first_channel + c, y, source + q]",
        "columns[k, target + q] = x[0, first_channel + c, y, source + q]",
        ADDER,
        "-k",
        "bug_patches_wrong",
    ),
    "last entries of a patch skipped": in_kernel(
        "windowed.py",
        """    for k in range(0, w.shape[1], 4):
        for t in range(filters):
            if distance:""",
        """    for k in range(0, w.shape[1] - 3, 8):
        for t in range(filters):
            if distance:""",
        ADDER,
        "-k",
        "bug_wrong_when_k",
    ),
    "patches after the last whole tile skipped": in_kernel(
        "windowed.py",
        """    total = y.shape[0] * y.shape[2]
    for tile in numba.prange((total + patches - 1) // patches):""",
        """    total = y.shape[0] * y.shape[2]
    y[:] = 0
    for tile in numba.prange(max(1, total // patches)):""",
        ADDER,
        "-k",
        "bug_batch_and_channels",
    ),
    "last filter of a block skipped": in_kernel(
        "windowed.py",
        "high = min(low + FILTER_BLOCK, filters)",
        "high = min(low + FILTER_BLOCK - 1, filters)",
        ADDER,
    ),
    "hardtanh does not clip below": in_kernel(
        "rows.py", "return -one if upper < -one else upper", "return upper", ADDER, "-k", "slopes_at_kinks"
    ),
    "hardtanh clips exactly 1 to 0": in_kernel(
        "rows.py",
        "upper = one if d > one else d",
        "upper = one if d > one else (d - d if d == one else d)",
        ADDER,
        "-k",
        "slopes_at_kinks",
    ),
    "padding forgotten in the full-precision filter gradient": in_kernel(
        "adder/cpu.py",
        "return products - w * grad.sum(axis=(0, 2, 3))[:, None, None, None]",
        "return products - w * grad[:, :, padding[0] :].sum(axis=(0, 2, 3))[:, None, None, None]",
        ADDER,
    ),
    "hardtanh swallows NaN": in_kernel(
        "rows.py", "upper = one if d > one else d", "upper = d if d < one else one", ADDER, "-k", "nan"
    ),
    "sums cut by the number of threads": Bug(
        "kernels/windowed.py",
        "parts = max(2, min(16, PARTIAL_ELEMENTS // rows.size, total // patches))",
        "parts = numba.get_num_threads()",
        (ADDER, "-k", "one_thread and sign and float32"),
    ),
    "gradient rules swapped": Bug(
        "ops/windowed.py",
        "self.rules = input_grad, weight_grad",
        "self.rules = weight_grad, input_grad",
        (REGISTRY, "-k", "adder2d"),
    ),
    "convolution with a flipped filter": in_kernel(
        "windowed.py",
        "rows = filter_rows(w[first : first + filters], geo.length)\n        forward_group(",
        "rows = filter_rows(w[first : first + filters, :, ::-1], geo.length)\n        forward_group(",
        "tests/test_kernels_conv.py",
    ),
    "batch norm's gradient without the mean": in_kernel(
        "batchnorm/cpu.py",
        "s * (grad[n, c, i] - a - b * (x[n, c, i] - m))",
        "s * (grad[n, c, i] - b * (x[n, c, i] - m))",
        REGISTRY,
        "-k",
        "batch_norm_train",
    ),
    "max pool: a padded cell wins": in_kernel(
        "pool/cpu.py",
        "best = x[plane, first_row, first_column]",
        "best = x[plane, first_row, first_column] if left >= 0 else x.dtype.type(0)",
        REGISTRY,
        "-k",
        "max_pool2d",
    ),
    "cross-entropy without the shift": in_kernel(
        "losses/cpu.py",
        "        total = logits.dtype.type(0)\n        for c in range(logits.shape[1]):",
        "        largest = total = logits.dtype.type(0)\n        for c in range(logits.shape[1]):",
        REGISTRY,
        "-k",
        "cross_entropy or logits",
    ),
    "gradients of a sum over broadcast axes not summed": Bug(
        "ops/arithmetic.py",
        "return np.asarray(grad.sum(axis=axes)).reshape(shape)",
        "return np.asarray(grad.max(axis=axes)).reshape(shape)",
        (REGISTRY, "-k", "multiply"),
    ),
    "a gradient shares memory": Bug(
        "tensor.py",
        "self.grad = Tensor._wrap(np.array(grad))",
        "self.grad = Tensor._wrap(grad)",
        (REGISTRY, "-k", "own_their_memory"),
    ),
    "an operation changes its input": Bug(
        "ops/elementwise.py",
        "        y = np.maximum(x, 0)\n",
        "        y = np.maximum(x, 0, out=x)\n",
        (REGISTRY, "-k", "relu"),
    ),
    "autograd: gradients of two uses not added up": Bug(
        "autograd.py",
        "arrived[parent] = arrived[parent] + part",
        "arrived[parent] = part",
        ("tests/test_gradcheck.py", "-k", "used"),
    ),
    "gradcheck: outputs weighted by ones": Bug(
        "gradcheck.py",
        "weights = np.random.default_rng(seed).standard_normal(output.shape)",
        "weights = np.ones(output.shape)",
        ("tests/test_gradcheck.py",),
    ),
    "jit: a changed helper does not change the digest": Bug(
        "jit.py",
        "digest.update(path.read_bytes())",
        "digest.update(path.name.encode())",
        ("tests/test_jit.py",),
    ),
    "SGD: momentum without Nesterov's look ahead": Bug(
        "optim/sgd.py",
        'if group["nesterov"]:',
        'if group["nesterov"] and momentum > 1:',
        ("tests/test_optim_adder_lr.py",),
    ),
    "weight decay before the adaptive learning rate": Bug(
        "optim/optimizer.py",
        """        np.multiply(grad, rule.scale(grad) if rule is not None and is_adder else 1.0, out=gradient)
        if group["weight_decay"] != 0:
            np.add(gradient, np.multiply(parameter._array, group["weight_decay"], out=spare), out=gradient)
""",
        """        np.add(grad, np.multiply(parameter._array, group["weight_decay"], out=spare), out=gradient)
        np.multiply(gradient, rule.scale(gradient) if rule is not None and is_adder else 1.0, out=gradient)
""",
        ("tests/test_optim_adder_lr.py",),
    ),
    "adaptive learning rate without the root": Bug(
        "optim/adder_lr.py",
        "self.eta * math.sqrt(grad.size) / max(",
        "self.eta * grad.size / max(",
        ("tests/test_optim_adder_lr.py",),
    ),
    "an optimiser's state loses the momentum": Bug(
        "optim/optimizer.py",
        "        self.state = restored\n",
        "        self.state = {}\n",
        ("tests/test_optim_state.py",),
    ),
    "resuming forgets the optimiser's state": Bug(
        "checkpoint.py",
        """    optimizer.load_state_dict({**state["optimizer"], "arrays": parts["optimizer"]})
""",
        "",
        ("tests/test_training.py", "-k", "resumed"),
    ),
    "resuming forgets the random generator": Bug(
        "checkpoint.py",
        """    random.set_generator_state(state["random"])
""",
        "",
        ("tests/test_checkpoint.py", "-k", "training_state"),
    ),
}


def copy_project(target: Path) -> None:
    """Copy what the tests need: the package, the tests, and pytest's settings."""
    for folder in ("minadder", "tests"):
        shutil.copytree(ROOT / folder, target / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "setup.cfg", target)


def run_tests(project: Path, bug: Bug) -> subprocess.CompletedProcess[str]:
    """Run the tests of a bug in a copy of the project, up to the first failure."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *bug.tests]
    # no bytecode: two changes within a second could leave the first one's behind
    environment = {
        **os.environ,
        "PYTHONPATH": str(project),
        "PYTHONDONTWRITEBYTECODE": "1",
        "HYPOTHESIS_PROFILE": "first failure",
        **bug.environment,
    }
    return subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True)


def check_passes(project: Path, bug: Bug, passed: set[tuple[str, ...]]) -> None:
    """Raise RuntimeError unless the tests of a bug pass without it."""
    if bug.tests in passed:
        return
    result = run_tests(project, bug)
    if result.returncode != 0:
        raise RuntimeError(f"{' '.join(bug.tests)} fails without any bug planted:\n{result.stdout}{result.stderr}")
    passed.add(bug.tests)


def catching_test(project: Path, bug: Bug) -> str | None:
    """Plant a bug, run its tests, and take it out again; return the test that failed, None when all passed."""
    path = project / "minadder" / bug.file
    source = path.read_text(encoding="utf-8")
    if source.count(bug.right) != 1:
        raise RuntimeError(f"{bug.file} holds {source.count(bug.right)} times, not once:\n{bug.right}")
    path.write_text(source.replace(bug.right, bug.wrong), encoding="utf-8")
    try:
        result = run_tests(project, bug)
    finally:
        path.write_text(source, encoding="utf-8")
    failed = re.search(r"^FAILED (.+?)(?: - |$)", result.stdout, re.MULTILINE)
    if result.returncode not in (0, 1) or (result.returncode == 1 and failed is None):
        raise RuntimeError(f"{' '.join(bug.tests)} did not run:\n{result.stdout}{result.stderr}")
    return None if failed is None else failed.group(1)


def main(arguments: list[str] | None = None) -> int:
    """Plant the bugs named on the command line, or all; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="bugs to plant (default: all)")
    names = parser.parse_args(arguments).names or list(BUGS)
    unknown = [name for name in names if name not in BUGS]
    if unknown:
        parser.error(f"no bug is named {', '.join(map(repr, unknown))}; there are: {', '.join(map(repr, BUGS))}")
    missed = 0
    passed: set[tuple[str, ...]] = set()
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder)
        copy_project(project)
        for name in names:
            check_passes(project, BUGS[name], passed)
            start = time.monotonic()
            test = catching_test(project, BUGS[name])
            missed += test is None
            found = "MISSED" if test is None else f"caught by {test}"
            print(f"{name:56} {time.monotonic() - start:5.1f} s  {found}", flush=True)
    print(f"{len(names) - missed} of {len(names)} bugs caught")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
