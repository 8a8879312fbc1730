"""Plant bugs in a copy of minadder, one at a time, and see the tests catch them.

    python tests/planted_bugs.py            # all
    python tests/planted_bugs.py NAME ...   # some

Each bug replaces a piece of source that occurs exactly once. The tests named for it must pass on the unchanged copy and
fail on the changed one. Where a bug is in a kernel they run without the compiler, which would have to compile anew for
each; only what vector registers do needs it. The exit code is 1 if a bug is missed: a test that cannot fail checks
nothing.
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

RENEWED = ("tests/test_renewal.py",)
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


def in_analysis(file: str, right: str, wrong: str, *tests: str) -> Bug:
    """Return a bug in what looks into networks: its tests run small nets, which compiling would take longer than."""
    return Bug(f"analysis/{file}", right, wrong, tests, UNCOMPILED)


def compiled_kernel(file: str, right: str, wrong: str, *tests: str) -> Bug:
    """Return a bug in a kernel that shows only where it is compiled."""
    return Bug(f"kernels/{file}", right, wrong, tests)


ADDER = "tests/test_kernels_adder.py"
UNFOLD = "tests/test_unfold.py"
SIMD = "tests/test_simd.py"
PATHS = "tests/test_vector_paths.py"
POWERS = "tests/test_kernels_powers.py"
SUMS = "tests/test_sums.py"
PROCESSES = "tests/test_processes.py"
REGISTRY = "tests/test_ops_registry.py"
BINARY = "tests/test_kernels_binary.py"
TOY, TOY_DATA = "tests/test_toy.py", "tests/test_data_toy.py"
COUNT = "tests/test_count.py"
ANALYSIS = "tests/test_analysis.py"
TWO_LAYERS = "tests/test_two_layers.py"
BOUNDED = "tests/test_bounded_width.py"

BUGS = {
    "adder sign flipped": in_kernel(
        "plain_tiles.py",
        "sums[p] -= abs(u[source + p] - value)",
        "sums[p] += abs(u[source + p] - value)",
        ADDER,
        "-k",
        "bug_minus_sign",
    ),
    "padding ignored": in_kernel(
        "unfold.py",
        """            slots = phases[f, 2] - (geo.rows - rows)
            top = row * geo.stride_y + phases[f, 0] - geo.padding_y""",
        """            slots = phases[f, 2] - (geo.rows - rows)
            top = row * geo.stride_y + phases[f, 0]""",
        ADDER,
        "-k",
        "padded_cell",
    ),
    "a row of padding not cleared": in_kernel(
        "unfold.py", "if s < first or s >= last:", "if s < first or s > last:", UNFOLD, "-k", "im2col"
    ),
    "stride ignored in the input gradient": in_kernel(
        "unfold.py",
        "place = to + c * plane + s * row_step + q * step",
        "place = to + c * plane + s * row_step + q",
        UNFOLD,
        "-k",
        "adjoint",
    ),
    "stride ignored in the input gradient of wide rows": in_kernel(
        "unfold.py",
        "channels, depth, count, step)\n\n\n@kernel\ndef gather",
        "channels, depth, count, 1)\n\n\n@kernel\ndef gather",
        UNFOLD,
        "-k",
        "adjoint",
    ),
    "last row skipped": in_kernel(
        "geometry.py",
        "return (padded[0] - spans[0]) // stride[0] + 1,",
        "return (padded[0] - spans[0] - 1) // stride[0] + 1,",
        ADDER,
        "-k",
        "bug_bottom_rows",
    ),
    "last block of channels missing": in_kernel(
        "windowed.py",
        "for c in range(0, geo.channels, geo.block):",
        "for c in range(0, max(1, geo.channels - geo.block), geo.block):",
        ADDER,
        "-k",
        "cut",
    ),
    "groups ignored": in_kernel(
        "windowed.py",
        "unfold(x, image, images, group * geo.channels + c, channels",
        "unfold(x, image, images, c, channels",
        ADDER,
        "-k",
        "bug_groups",
    ),
    "groups ignored by the filter gradient": in_kernel(
        "windowed_weight_grad.py",
        "first_channel, first_filter = group * geo.channels, group * filters",
        "first_channel, first_filter = 0, group * filters",
        ADDER,
        "-k",
        "bug_groups",
    ),
    "groups of the gradient ignored by the input's": in_kernel(
        "windowed_input_grad.py",
        "first_channel, first_filter = group * geo.channels, group * filters",
        "first_channel, first_filter = group * geo.channels, 0",
        ADDER,
        "-k",
        "bug_groups",
    ),
    "the filter behind an odd number in each of several groups missing": in_kernel(
        "windowed.py",
        "flat if w.shape[0] // groups % 2 == 0 else",
        "flat if w.shape[0] % 2 == 0 else",
        PATHS,
        "-k",
        "stay_within",
    ),
    "every image is the first": in_kernel(
        "unfold.py",
        "begin = (image * x.shape[1] + channel) * plane",
        "begin = channel * plane",
        UNFOLD,
        "-k",
        "im2col",
    ),
    "images of the last, smaller layout missing": in_kernel(
        "unfold.py",
        "-(-count // images), -(-out_height",
        "max(1, count // images), -(-out_height",
        ADDER,
        "-k",
        "extreme and fewer",
    ),
    "all phases in the same slots": in_kernel(
        "unfold.py",
        "slot_of.update({start: slots + start // stride[0]",
        "slot_of.update({start: start // stride[0]",
        UNFOLD,
        "-k",
        "im2col",
    ),
    "a slot too few": in_kernel(
        "unfold.py",
        "for start in starts if start % stride[0] == phase) + rows",
        "for start in starts if start % stride[0] == phase) + max(1, rows - 1)",
        UNFOLD,
        "-k",
        "im2col",
    ),
    "entries of a window transposed": in_kernel(
        "unfold.py",
        """        for start in starts
        for j in range(kernel_width)""",
        """        for j in range(kernel_width)
        for start in starts""",
        UNFOLD,
        "-k",
        "im2col",
    ),
    "rows of several images scattered without the others' pitch": in_kernel(
        "unfold.py",
        "copy_planes(flat, place, plane, width, out, b * width, pitch, row_step, filters",
        "copy_planes(flat, place, plane, width, out, b * width, pitch, width, filters",
        UNFOLD,
        "-k",
        "gathered",
    ),
    "filters of a task written in the place of the first ones": in_kernel(
        "windowed.py",
        "scatter_outputs(out, geo.pitch, image, images, first, count,",
        "scatter_outputs(out, geo.pitch, image, images, first - begin, count,",
        ADDER,
        "-k",
        "extreme and many",
    ),
    "pulled filters not turned": in_kernel(
        "windowed_input_grad.py", "[..., ::-1, ::-1]", "[..., ::-1, :]", ADDER, "-k", "extreme and rest"
    ),
    "stale gradients of images that the last layout has not": in_kernel(
        "windowed_weight_grad.py", "if images < geo.images:", "if images < 0:", ADDER, "-k", "parts_of and fewer"
    ),
    "blocks of filter gradients put together in another order": in_kernel(
        "windowed_weight_grad.py",
        ".transpose(0, 2, 4, 1, 3, 5)",
        ".transpose(0, 2, 1, 4, 3, 5)",
        ADDER,
        "-k",
        "parts_of and smaller",
    ),
    "a last, smaller block of channels put in the places of a full one": in_kernel(
        "windowed_weight_grad.py",
        "geo.block * geo.kernel_height * geo.kernel_width,",
        "channels * geo.kernel_height * geo.kernel_width,",
        ADDER,
        "-k",
        "parts_of and smaller",
    ),
    "sums of the gradient counted for each block of channels": in_kernel(
        "windowed_weight_grad.py", "if block == 0:", "if block >= 0:", ADDER, "-k", "extreme and smaller"
    ),
    "padding forgotten in the full-precision filter gradient": in_kernel(
        "windowed_weight_grad.py",
        "stretch_sum(g, t * geo.pitch, places)",
        "stretch_sum(g, t * geo.pitch, places - 1)",
        ADDER,
        "-k",
        "padded_cell",
    ),
    "hardtanh does not clip below": in_kernel(
        "plain_tiles.py", "return -one if upper < -one else upper", "return upper", ADDER, "-k", "slopes_at_kinks"
    ),
    "hardtanh clips exactly 1 to 0": in_kernel(
        "plain_tiles.py",
        "upper = one if d > one else d",
        "upper = one if d > one else (d - d if d == one else d)",
        ADDER,
        "-k",
        "slopes_at_kinks",
    ),
    "hardtanh swallows NaN": in_kernel(
        "plain_tiles.py", "upper = one if d > one else d", "upper = d if d < one else one", ADDER, "-k", "nan"
    ),
    "sums cut by the number of threads": compiled_kernel(
        "windowed_weight_grad.py",
        "max(1, min(plan.image_groups * plan.bands, 16, max(2, PARTIAL_ELEMENTS // w.size)))",
        "max(1, min(plan.image_groups * plan.bands, __import__('numba').get_num_threads()))",
        ADDER,
        "-k",
        "one_thread and sign and float32",
    ),
    "vectors: the third of three filters missing": in_kernel(
        "vector_tiles.py", "if filters - t > 2:", "if filters - t > 3:", PATHS, "-k", "forward_tile and modelled"
    ),
    "vectors: a place too many kept": in_kernel(
        "vector_tiles.py",
        "sums = keep(sums, VECTORS, places - p)",
        "sums = keep(sums, VECTORS, places - p + 1)",
        PATHS,
        "-k",
        "input_grad_tile and modelled",
    ),
    "vectors: places behind the last ones not cleared": in_kernel(
        "vector_tiles.py",
        "last_x = keep(load_at(u, offsets, k, places - rest, ENTRIES, 1), 1, rest)",
        "last_x = load_at(u, offsets, k, places - rest, ENTRIES, 1)",
        PATHS,
        "-k",
        "weight_grad_tile and modelled",
    ),
    "vectors: each block of filters starts anew": in_kernel(
        "vector_tiles.py",
        """                if fresh and low == 0:
                    store(sums, out, c * pitch + p""",
        """                if low == 0:
                    store(sums, out, c * pitch + p""",
        PATHS,
        "-k",
        "pulled_grad_tile and modelled",
    ),
    "vectors: a long sum is that of its last piece": in_kernel(
        "vector_tiles.py",
        """                    if fresh and low == 0:
                        store(pair""",
        """                    if fresh:
                        store(pair""",
        PATHS,
        "-k",
        "cut_into_pieces",
    ),
    "vectors: a layout ends with its last place": in_kernel(
        "unfold.py",
        "vector, base + places + group)",
        "vector, base + places)",
        PATHS,
        UNFOLD,
        "-k",
        "within or whatever",
    ),
    "registers: all vectors of a row start at its first place": compiled_kernel(
        "simd.py",
        "return [builder.add(start, number(vector * width)) for start",
        "return [builder.add(start, number(vector)) for start",
        SIMD,
        "-k",
        "load_and_store",
    ),
    "registers: a lane too many kept": compiled_kernel(
        "simd.py", 'builder.icmp_signed("<", ir.Constant(', 'builder.icmp_signed("<=", ir.Constant(', SIMD, "-k", "keep"
    ),
    "registers: a place beyond the row moved": compiled_kernel(
        "simd_planes.py",
        "spaced_masks(builder, builder.add(rest, number(1)), each, vector)",
        "spaced_masks(builder, builder.add(rest, number(2)), each, vector)",
        SIMD,
        "-k",
        "moved",
    ),
    "registers: every second number of one vector taken twice": compiled_kernel(
        "simd_planes.py",
        "[2 * lane for lane in range(width)]",
        "[2 * lane % width for lane in range(width)]",
        SIMD,
        "-k",
        "moved",
    ),
    "registers: what is added to every second place shifted by one": compiled_kernel(
        "simd_planes.py",
        "if lane % 2 == 0 else width for lane",
        "if lane % 2 == 1 else width for lane",
        SIMD,
        "-k",
        "moved",
    ),
    "an input gradient added to what was in memory": in_kernel(
        "windowed_input_grad.py",
        "x_grad[image : image + images, first_channel : first_channel + geo.channels] = 0",
        "x_grad[image : image + images, first_channel : first_channel + 1] = 0",
        ADDER,
        "-k",
        "extreme and rest",
    ),
    "registers: half of the lanes summed twice": compiled_kernel(
        "simd.py", "for shift in (0, width // 2)", "for shift in (0, 0)", SIMD, "-k", "lane_sums"
    ),
    "registers: hardtanh swallows NaN": compiled_kernel(
        "simd.py",
        'upper = builder.select(builder.fcmp_ordered("<", one, d), one, d)',
        'upper = builder.select(builder.fcmp_unordered("<", one, d), one, d)',
        SIMD,
        "-k",
        "input_slopes",
    ),
    "registers: the sign of 0 is 1": compiled_kernel(
        "simd.py",
        'return builder.select(builder.fcmp_ordered(">", d, zero), one, lower)',
        'return builder.select(builder.fcmp_ordered(">=", d, zero), one, lower)',
        SIMD,
        "-k",
        "weight_slopes",
    ),
    "gradient rules swapped": Bug(
        "ops/windowed.py",
        "x_grad = adder.input_grad(grad, x, w, *self.window, self.rules[0], self.p)",
        "x_grad = adder.input_grad(grad, x, w, *self.window, self.rules[1], self.p)",
        (REGISTRY, "-k", "adder2d"),
    ),
    "powers: the sign of a difference lost": in_kernel(
        "powers.py", "return -value if d < 0 else value", "return value", POWERS, "-k", "signed"
    ),
    "powers: the bits beside the exponent looked up": compiled_kernel(
        "simd_powers.py",
        "everywhere(whole, layout.mantissa_bits))\n    scale",
        "everywhere(whole, layout.mantissa_bits - 1))\n    scale",
        POWERS,
        "-k",
        "layers_compute and float32",
    ),
    "powers: sums kept that differences which are not ordinary made wrong": compiled_kernel(
        "simd_powers.py",
        'builder.icmp_unsigned("!=", builder.and_(',
        'builder.icmp_unsigned(">", builder.and_(',
        POWERS,
        "-k",
        "not_ordinary and float32",
    ),
    "powers: the second difference of a pair not looked at": compiled_kernel(
        "simd_powers.py",
        "builder.and_(pair[0], pair[-1])",
        "builder.and_(pair[0], pair[0])",
        POWERS,
        "-k",
        "not_ordinary and float32",
    ),
    "powers: places behind the last whole tile left out": compiled_kernel(
        "vector_power_tiles.py",
        "length, filters, whole, places, vector",
        "length, filters, whole, whole, vector",
        POWERS,
    ),
    "powers: places behind the last whole tile left out of the input's gradient": compiled_kernel(
        "vector_power_tiles.py", "g, filters, whole, places, vector", "g, filters, whole, whole, vector", POWERS
    ),
    "powers: gradients of the band before left behind the last place": compiled_kernel(
        "windowed_powers.py",
        """        g[:] = 0
        gather""",
        """        if row == 0:
            g[:] = 0
        gather""",
        POWERS,
        "-k",
        "last_band",
    ),
    "powers: huge inputs as they are": compiled_kernel(
        "windowed_powers.py", "value if abs(value) < limit else far", "value", POWERS, "-k", "huge_numbers"
    ),
    "powers: huge inputs and huge filters take the same value": compiled_kernel(
        "windowed_powers.py", "FAR_FILTER = 64.0, 1024.0", "FAR_FILTER = 64.0, 64.0", POWERS, "-k", "huge_numbers"
    ),
    "powers: tasks leave a channel between them to nobody": compiled_kernel(
        "windowed_powers.py",
        "begin, end = part * blocks // parts * geo.block, min(",
        "begin, end = part * blocks // parts * geo.block + part % 2, min(",
        POWERS,
        "-k",
        "many_channels",
    ),
    "powers: the gradient has the exponent of the output": in_kernel(
        "adder/cpu.py",
        "p - 1, factor)\n    return x_grad",
        "p, factor)\n    return x_grad",
        POWERS,
        "-k",
        "any_layer",
    ),
    "batch norm: a loop that is compiled by itself": compiled_kernel(
        "batchnorm/loops.py",
        "@kernel(inline=True, reorder=False)\ndef write_run_grad",
        "@kernel(reorder=False)\ndef write_run_grad",
        "tests/test_same_bits.py",
        "-k",
        "batch_norm",
    ),
    "long sums: what was added before is forgotten": compiled_kernel(
        "windowed.py", "                move(out, totals)\n", "", SUMS, "-k", "many_entries"
    ),
    "long sums: what was added before counts twice": compiled_kernel(
        "windowed_input_grad.py", "                summed = 0\n", "", SUMS, "-k", "many_filters"
    ),
    "sums that run on in float32": Bug(
        "kernels/sums.py", ", dtype=np.float64)", ")", (SUMS, "-k", "constant_has_no_deviation")
    ),
    "a large window's mean in float32": compiled_kernel(
        "pool/cpu.py", "total = 0.0  # a", "total = x.dtype.type(0)  # a", SUMS, "-k", "pooling"
    ),
    "a forked process with its parent's threads": compiled_kernel(
        "tasks.py",
        "threads and not _Threads.lost and",
        "threads and",
        PROCESSES,
        "-k",
        "forked and omp",
    ),
    "two threads of Python in parallel loops": compiled_kernel(
        "tasks.py",
        "_one_at_a_time.acquire(blocking=False)",
        "(_one_at_a_time.acquire(blocking=False) or True)",
        PROCESSES,
        "-k",
        "threads and workqueue",
    ),
    "matrix products on all threads of the BLAS": Bug(
        "blas.py", "set_threads([1] * len(_threads_before))", "pass", ("tests/test_blas.py",)
    ),
    "p falls by the wrong end": Bug(
        "optim/exponents.py",
        "return self.start + (self.end - self.start) * done",
        "return self.end + (self.start - self.end) * done",
        ("tests/test_exponents.py", "-k", "goes_from"),
    ),
    "convolution with a flipped filter": in_kernel(
        "windowed.py",
        "as_rows(w, groups),",
        "as_rows(w[:, :, ::-1], groups),",
        "tests/test_kernels_conv.py",
        "-k",
        "flipped",
    ),
    "binary: a padded cell counts −1": in_kernel(
        "binary/cpu.py",
        "ones[p] += count_ones((u0[p] ^ w0) & m0[p])",
        "ones[p] += count_ones(u0[p] ^ w0)",
        BINARY,
        "-k",
        "bug_a_padded_cell",
    ),
    "binary: 0 is negative": in_kernel(
        "binary/packing.py",
        "bit if value >= zero else none",
        "bit if value > zero else none",
        BINARY,
        "-k",
        "bug_a_padded_cell",
    ),
    "binary: bits that reach into the next word are lost": in_kernel(
        "binary/packing.py", "if last // BITS > word:", "if last // BITS > word + 1:", BINARY, "-k", "number_of_words"
    ),
    "binary: all images of a task are the first": in_kernel(
        "binary/packing.py",
        "pack_rows(x, image + b, channel",
        "pack_rows(x, image, channel",
        BINARY,
        "-k",
        "one_pixel",
    ),
    "batch norm's gradient without the mean": in_kernel(
        "batchnorm/loops.py",
        "scale * (g - slope * (x[k] - mean) - constant if training else g)",
        "scale * (g - slope * (x[k] - mean) if training else g)",
        REGISTRY,
        "-k",
        "batch_norm_train",
    ),
    "batch norm: the ReLU's gradient passes everywhere": in_kernel(
        "batchnorm/loops.py",
        "g = np.float64(zero if relu and y[k] <= zero else grad[k])",
        "g = np.float64(grad[k])",
        "tests/test_batchnorm_relu.py",
        "-k",
        "one_after_the_other",
    ),
    "batch norm: the ReLU swallows NaN": in_kernel(
        "batchnorm/loops.py",
        "y[k] = zero if relu and value <= zero else value",
        "y[k] = value if not relu or value > zero else zero",
        "tests/test_batchnorm_relu.py",
        "-k",
        "nan",
    ),
    "batch norm: sums around 0": in_kernel(
        "batchnorm/cpu.py",
        "run_moments(flat, start, count, step, np.float64(flat[c * length]))",
        "run_moments(flat, start, count, step, np.float64(flat[c * length] * 0))",
        "tests/test_kernels_batchnorm.py",
        "-k",
        "large_mean",
    ),
    "Sequential: a ReLU behind a batch norm is forgotten": Bug(
        "nn/container.py",
        "x = module(x, relu=True)",
        "x = module(x)",
        ("tests/test_batchnorm_relu.py", "-k", "sequential"),
    ),
    "Sequential: hooks do not see the batch norm's own output": Bug(
        "nn/container.py",
        "type(behind) is ReLU and not (module._hooks or behind._hooks)",
        "type(behind) is ReLU",
        ("tests/test_batchnorm_relu.py", "-k", "hooks"),
    ),
    "2×2 windows of an odd plane leave the last row as it was": in_kernel(
        "pool/cpu.py",
        "if not in_pairs(windows) or height % np.uintp(2) or width % np.uintp(2):",
        "if not in_pairs(windows) or width % np.uintp(2):",
        "tests/test_kernels_pool.py",
        "-k",
        "pairs",
    ),
    "2×2 windows: of equal values the last wins": in_kernel(
        "pool/cpu.py",
        "wins = not value <= best and best == best",
        "wins = not value < best and best == best",
        "tests/test_kernels_pool.py",
        "-k",
        "pairs",
    ),
    "max pool: a padded cell wins": in_kernel(
        "pool/cpu.py",
        "best = x[first + place]",
        "best = x[first + place] if left >= 0 else x.dtype.type(0)",
        REGISTRY,
        "-k",
        "max_pool2d",
    ),
    "cross-entropy without the shift": in_kernel(
        "losses/cpu.py",
        "probabilities[n, c] = logits[n, c] - largest",
        "probabilities[n, c] = logits[n, c]",
        REGISTRY,
        "-k",
        "cross_entropy or logits",
    ),
    "gradients of a sum over broadcast axes not summed": Bug(
        "ops/arithmetic.py",
        "return sum_over(grad, axes).reshape(shape)",
        "return grad.max(axis=axes).reshape(shape)",
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
        "        y = kernels.relu_forward(x)\n",
        "        y = np.maximum(x, 0, out=x)\n",
        (REGISTRY, "-k", "relu"),
    ),
    "autograd: gradients of two uses not added up": Bug(
        "autograd.py",
        "arrived[parent] = arrived[parent] + part",
        "arrived[parent] = part",
        ("tests/test_gradcheck.py", "-k", "used"),
    ),
    "check_function: on a kink anything goes": Bug(
        "testing/slopes.py",
        "return self.low - self.tolerance <= gradient <= self.high + self.tolerance",
        "return True",
        ("tests/test_testing_kinks.py", "-k", "outside"),
    ),
    "check_function: a kink is taken for a slope": Bug(
        "testing/slopes.py",
        "kink=bool(jumps.any())",
        "kink=False",
        ("tests/test_testing_kinks.py", "-k", "no_false_alarm"),
    ),
    "check_function: one random direction misses what it does not move": Bug(
        "testing/gradients.py",
        "direction = np.asarray(rng.standard_normal(call.arrays[number].shape))",
        "direction = np.zeros(call.arrays[number].shape)",
        ("tests/test_testing_faults.py", "-k", "one_entry or entry"),
    ),
    "a lattice of values that tie": Bug(
        "testing/lattice.py",
        "chosen = rng.choice(numbers, math.prod(shape), replace=False)",
        "chosen = rng.choice(numbers, math.prod(shape))",
        ("tests/test_testing_strategies.py",),
    ),
    "no_grad: leaving one leaves all": Bug(
        "grad_mode.py",
        "_open_no_grads.set(max(0, _open_no_grads.get() - 1))",
        "_open_no_grads.set(0)",
        ("tests/test_grad_mode.py",),
    ),
    "Hardtanh: slope 1 at ±1": Bug(
        "ops/elementwise.py",
        "return masked(grad, np.abs(x) < 1)",
        "return masked(grad, np.abs(x) <= 1)",
        (REGISTRY, "-k", "kinks"),
    ),
    "std: an infinite slope where all values are equal": Bug(
        "ops/reduction.py",
        "constant = y == 0",
        "constant = y < 0",
        ("tests/test_singular_points.py", "-k", "reductions"),
    ),
    "getitem: a list in a tuple is kept": Bug(
        "arrays.py",
        "return tuple(map(own_part, index)) if isinstance(index, tuple)",
        "return index if isinstance(index, tuple)",
        ("tests/test_callers_objects.py", "-k", "index"),
    ),
    "masked entries taken for numbers": Bug(
        "arrays.py",
        "        if not masked:\n",
        "        if masked >= 0:\n",
        ("tests/test_foreign_arrays.py", "-k", "refused"),
    ),
    "dropout: what is kept is not scaled": Bug(
        "nn/dropout.py",
        "0.0 if self.p == 1 else 1 / (1 - self.p)",
        "1.0",
        ("tests/test_nn_dropout.py", "-k", "scaled"),
    ),
    "label smoothing: the gradient of the plain loss": Bug(
        "ops/losses.py",
        "-= grad.dtype.type(1 - self.smoothing)",
        "-= grad.dtype.type(1)",
        ("tests/test_losses_torch.py", "-k", "smoothing_and_ignored"),
    ),
    "ignore_index: the mean is over all examples": Bug(
        "ops/losses.py",
        "return np.asarray(losses.sum() / as_dtype(np.count_nonzero(counted)))",
        "return np.asarray(losses.sum() / as_dtype(len(counted)))",
        ("tests/test_losses_torch.py", "-k", "smoothing_and_ignored"),
    ),
    "clip_grad_norm_: small gradients are made larger": Bug(
        "nn/utils.py", "if not factor >= 1:", "if factor == factor:", ("tests/test_optim_clip.py", "-k", "by_pytorch")
    ),
    "AdamW: weight decay in the gradient": Bug(
        "optim/adam.py",
        '{**group, "weight_decay": 0.0}',
        "group",
        ("tests/test_optim_torch.py", "-k", "adamw_takes"),
    ),
    "ModuleList: names stay where modules went": Bug(
        "nn/container.py",
        "            delattr(self, name)\n",
        "            pass\n",
        ("tests/test_nn_dropout.py", "-k", "changes_as_a_list"),
    ),
    "dim given beside axis wins": Bug(
        "words.py", "if own in options or len(args) > places[own]:", "if False:", ("tests/test_pytorchs_words.py",)
    ),
    "load_state_dict: the last of two values wins": Bug(
        "nn/state.py",
        "if given[first].tobytes() != given[other].tobytes():",
        "if given[first].shape != given[other].shape:",
        ("tests/test_nn_state.py", "-k", "two_values"),
    ),
    "gradcheck: an input that is not used passes": Bug(
        "gradcheck.py",
        "moved = gradients.get(id(tensor)), False",
        "moved = gradients.get(id(tensor)), True",
        ("tests/test_gradcheck.py", "-k", "depend"),
    ),
    "gradcheck: outputs weighted by ones": Bug(
        "gradcheck.py",
        "weights = np.random.default_rng(seed).standard_normal(output.shape)",
        "weights = np.ones(output.shape)",
        ("tests/test_gradcheck.py",),
    ),
    "jit: a changed helper does not change the digest": Bug(
        "kernel_cache.py",
        "digest.update(path.read_bytes())",
        "digest.update(path.name.encode())",
        ("tests/test_jit.py", "tests/test_kernel_cache.py"),
    ),
    "jit: kernels of one name, made with other numbers, read each other's files": Bug(
        "kernel_cache.py",
        "isinstance(value, int)])",
        "isinstance(value, str)])",
        ("tests/test_kernel_cache.py",),
    ),
    "ablation: a sign of the filters alone where it should be of both": Bug(
        "experiments/ablation.py",
        '"weight_grad": "sign", "input_grad": "sign"',
        '"weight_grad": "sign", "input_grad": "hardtanh"',
        ("tests/test_sweep.py", "-k", "papers"),
    ),
    "ablation: unscaled where the rate should be increased": Bug(
        "experiments/ablation.py",
        '("ILR ×100", ILR, "sign, HardTanh")',
        '("ILR ×100", UNSCALED, "sign, HardTanh")',
        ("tests/test_sweep.py", "-k", "papers"),
    ),
    "ablation: the paper's weight decay where there should be less": Bug(
        "experiments/ablation.py",
        "weight_decay=LESS_DECAY)",
        "weight_decay=5e-4)",
        ("tests/test_sweep.py", "-k", "papers"),
    ),
    "jobs: the recipe's weight decay whatever the row says": Bug(
        "experiments/jobs.py",
        'weight_decay=job["weight_decay"]',
        'weight_decay=RECIPE["weight_decay"]',
        ("tests/test_sweep.py", "-k", "optimiser"),
    ),
    "closed channels: looked for in training": Bug(
        "analysis/channels.py", "net.eval()(inputs)", "net(inputs)", ("tests/test_analysis.py", "-k", "closed")
    ),
    "closed channels: inputs counted in their place": Bug(
        "analysis/channels.py", "axis != 1)", "axis != 0)", ("tests/test_analysis.py", "-k", "closed")
    ),
    "closed channels: hooks left behind": Bug(
        "analysis/channels.py", "handle.remove()", "pass", ("tests/test_analysis.py", "-k", "closed")
    ),
    "curves: no more than there are colours": Bug(
        "plot/sweeps.py", "cycle(CURVES)", "CURVES", ("tests/test_sweep.py", "-k", "figures")
    ),
    "batch norm: the arrays' addresses decide how sums are rounded": Bug(
        "kernels/batchnorm/loops.py",
        "@kernel(inline=True, reorder=False)\ndef write_run_grad(",
        "@kernel(inline=True)\ndef write_run_grad(",
        ("tests/test_placement.py", "-k", "batch_norm_train"),
    ),
    "renewal: every batch counts the same, however small": Bug(
        "renewal.py",
        "norm.momentum = len(inputs) / seen",
        "norm.momentum = len(inputs) / (len(inputs) + seen)",
        RENEWED,
    ),
    "renewal: the momentum is not put back": Bug("renewal.py", "norm.momentum = momentum", "pass", RENEWED),
    "renewal: the batches counted as training": Bug(
        "renewal.py", "norm.num_batches_tracked[...] = tracked", "pass", RENEWED
    ),
    "training: the statistics renewed after the test": Bug(
        "epochs.py", "if renew_batches:", "if renew_batches and test is None:", RENEWED
    ),
    "early stopping: one epoch too late": Bug(
        "callbacks.py",
        "if since >= self.patience:",
        "if since > self.patience:",
        ("tests/test_callbacks.py", "-k", "early"),
    ),
    "early stopping: a rising loss is a new best": Bug(
        "callbacks.py",
        'sign = -1 if self.monitor.endswith("loss") else 1',
        "sign = 1",
        ("tests/test_callbacks.py", "-k", "early"),
    ),
    "progress: compilation counts": Bug(
        "callbacks.py",
        "return time.perf_counter() - seconds_compiling()",
        "return time.perf_counter() + seconds_compiling()",
        ("tests/test_callbacks.py", "-k", "compiling"),
    ),
    "split: the held-out examples are trained on too": Bug(
        "data/dataset.py",
        "return self._of(train), self._of(held_out)",
        "return self._of(np.arange(len(self))), self._of(held_out)",
        ("tests/test_own_data.py", "-k", "split"),
    ),
    "own data: labels from 1 on taken for whole numbers from 0": Bug(
        "data/own.py",
        "if array.size and not 0 <= array.min()",
        "if array.size and not -1 <= array.min()",
        ("tests/test_own_data.py", "-k", "labels"),
    ),
    "prediction: a single logit of 0 is class 1": Bug(
        "prediction.py", "(found[:, 0] > 0)", "(found[:, 0] >= 0)", ("tests/test_prediction.py", "-k", "single")
    ),
    "optimiser: adder filters without a rule go unsaid": Bug(
        "optim/optimizer.py",
        'group["adder_lr"] is None for p',
        'group["lr"] is None for p',
        ("tests/test_optim.py", "-k", "rule"),
    ),
    "boundary: the net asked in training": Bug(
        "prediction.py",
        "with evaluating(net), no_grad()",
        "with no_grad()",
        ("tests/test_boundary.py", "-k", "left"),
    ),
    "boundary: random numbers drawn for it are gone": Bug(
        "prediction.py",
        "        set_generator_state(before)\n",
        "        pass\n",
        ("tests/test_boundary.py", "-k", "left"),
    ),
    "boundary: one logit taken for certainty of class 1": Bug(
        "looking/asking.py",
        "np.zeros_like(found), found]",
        "found - 1, found]",
        ("tests/test_boundary.py", "-k", "mind"),
    ),
    "boundary: a decision function of pairs believed": Bug(
        "looking/asking.py",
        "!= estimator.predict(inputs)).any()",
        "!= estimator.predict(inputs)).all()",
        ("tests/test_boundary.py", "-k", "estimators"),
    ),
    "boundary: the shade upside down": Bug(
        "plot/plane.py", 'origin="lower"', 'origin="upper"', ("tests/test_boundary.py", "-k", "seen")
    ),
    "boundary: no line between two of three classes": Bug(
        "plot/plane.py",
        "range(scores.shape[-1] - 1)",
        "range(scores.shape[-1] - 2)",
        ("tests/test_boundary.py", "-k", "mind or three"),
    ),
    "film: the end of the training left out": Bug(
        "looking/film.py",
        "            self._states.pop()\n        self._keep(run)\n",
        "            self._states.pop()\n",
        ("tests/test_movie.py", "-k", "film or training"),
    ),
    "graph: the ReLU in a batch norm is not told": Bug(
        "looking/graph.py", "len(node.saved) > 2", "len(node.saved) > 3", ("tests/test_graph.py", "-k", "batch_norm")
    ),
    "graph: drawn although it is freed": Bug(
        "looking/graph.py", "if any(node._released", "if all(node._released", ("tests/test_graph.py", "-k", "part")
    ),
    "graph: boxes one on the other": Bug(
        "plot/layers.py",
        "sample_weight=weights) + offsets",
        "sample_weight=weights)",
        ("tests/test_graph.py", "-k", "apart"),
    ),
    "a figure is shown nowhere, and nobody is told": Bug(
        "plot/shown.py",
        "if canvas.manager_class.show is",
        "if canvas.manager_class.show is not",
        ("tests/test_plot_shown.py", "-k", "display"),
    ),
    "SGD: momentum without Nesterov's look ahead": in_kernel(
        "optim/cpu.py",
        "            if nesterov:\n",
        "            if nesterov and momentum > 1:\n",
        "tests/test_optim_adder_lr.py",
        "-k",
        "before_weight_decay",
    ),
    "weight decay before the adaptive learning rate": in_kernel(
        "optim/cpu.py",
        """        g = grad[i] * scale + weight_decay * w[i]
        step = g
""",
        """        g = (grad[i] + weight_decay * w[i]) * scale
        step = g
""",
        "tests/test_optim_adder_lr.py",
        "-k",
        "before_weight_decay",
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
        """        optimizer.load_state_dict({**state["optimizer"], "arrays": parts["optimizer"]})
""",
        "        pass\n",
        ("tests/test_training.py", "-k", "resumed"),
    ),
    "resuming forgets the random generator": Bug(
        "checkpoint.py",
        """    random.set_generator_state(state["random"])
""",
        "",
        ("tests/test_checkpoint.py", "-k", "training_state"),
    ),
    "toys share one norm of the adder filters' gradient": Bug(
        "experiments/side_by_side.py",
        "scales = [[self.rule.scale(gradient)] for gradient in gradients]",
        "scales = [[self.rule.scale(gradients)] for gradient in gradients]",
        (TOY, "-k", "becomes_alone"),
    ),
    "toys share one mean loss": Bug(
        "experiments/side_by_side.py",
        "1 / self.points.shape[-1], np.float32",
        "1 / self.labels.size, np.float32",
        (TOY, "-k", "becomes_alone"),
    ),
    "toys give their weights to the wrong nets": Bug(
        "experiments/side_by_side.py",
        "reshape(len(likes), *like.shape)[number]",
        "reshape(len(likes), *like.shape)[-1 - number]",
        (TOY, "-k", "becomes_alone"),
    ),
    "the worst of ten starts goes on": Bug(
        "experiments/toy.py",
        "losses.argmin(axis=1)",
        "losses.argmax(axis=1)",
        (TOY, "-k", "ten_starts"),
    ),
    "toys divide the points by 10, which no paper says": Bug(
        "experiments/toy.py",
        "scale: float = 1.0",
        "scale: float = 10.0",
        (TOY, "-k", "as_they_are_drawn"),
    ),
    "toys' pictures have axes of divided points": Bug(
        "experiments/toy.py",
        "line = scaled(np.linspace(-reach, reach, side, dtype=np.float32), result.job)",
        "line = np.linspace(-reach, reach, side, dtype=np.float32)",
        (TOY, "-k", "axes_of_the_points"),
    ),
    "toys of other settings are shown as new ones": Bug(
        "experiments/toy.py",
        "if recipe != now:",
        "if recipe == {}:",
        (TOY, "-k", "recipe_of_the_same_name"),
    ),
    "toys are tried on the points of their training again": Bug(
        "experiments/toy.py",
        "points(job.points, 2**32 - 1 - job.seed)",
        "points(job.points, job.seed)",
        (TOY, "-k", "fresh_ones"),
    ),
    "the better of two middle nets is drawn": Bug(
        "experiments/toy_report.py",
        "[(len(self.results) - 1) // 2]",
        "[len(self.results) // 2]",
        (TOY, "-k", "worse_half"),
    ),
    "the unit ball has no margin": Bug(
        "data/toy.py",
        "np.where(radius > 15, 0, _REJECTED)",
        "0",
        (TOY_DATA, "-k", "papers_labels"),
    ),
    "every process tells of Ctrl-C": Bug(
        "experiments/workers.py",
        "signal.signal(signal.SIGINT, signal.SIG_IGN)",
        "signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})",
        ("tests/test_workers.py", "-k", "leave_ctrl_c"),
    ),
    "what is killed leaves its processes": Bug(
        "experiments/workers.py",
        "while os.getppid() == parent:",
        "while True:",
        ("tests/test_workers.py", "-k", "killed"),
    ),
    "what is stopped leaves its processes": Bug(
        "experiments/workers.py",
        "executor.shutdown(kill_workers=True)",
        "pass",
        ("tests/test_workers.py", "-k", "closed_before"),
    ),
    "count: a filter of one group sees all channels": in_analysis(
        "counting.py",
        "return output.size * (layer.weight.size // layer.weight.shape[0])",
        "return output.size * (layer.weight.size // layer.weight.shape[0]) * getattr(layer, 'groups', 1)",
        COUNT,
        "-k",
        "reference_kernels",
    ),
    "count: a distance is one addition": in_analysis(
        "counting.py", "additions=2 * number)}", "additions=number)}", COUNT, "-k", "reference_kernels"
    ),
    "count: squares are no multiplications": in_analysis(
        "counting.py",
        "multiplications=number if p == 2 else 0,",
        "multiplications=0,",
        COUNT,
        "-k",
        "reference_kernels",
    ),
    "count: a mean of k numbers takes k additions": in_analysis(
        "counting.py",
        "(math.prod(layer.kernel_size) - 1)",
        "math.prod(layer.kernel_size)",
        COUNT,
        "-k",
        "what_else",
    ),
    "count: a layer called twice counts once": in_analysis(
        "counting.py",
        "calls.setdefault(path, []).append(call",
        "calls.update({path: []}) or calls[path].append(call",
        COUNT,
        "-k",
        "called_twice",
    ),
    "summary: drawing in a net's forward goes on behind it": Bug(
        "analysis/observing.py",
        "with no_grad(), random_states_kept():",
        "with no_grad():",
        ("tests/test_summary.py", "-k", "random_states"),
    ),
    "summary: names are HTML": Bug(
        "looking/summary.py", "html.escape(cell)", "cell", ("tests/test_summary.py", "-k", "foreign_names")
    ),
    "pretrained: whatever weights lie there are taken": Bug(
        "models/pretrained.py",
        "found != LENET5_BN[layer]",
        "not found",
        ("tests/test_pretrained.py", "-k", "changed_weights"),
    ),
    "cost: a multiplication of 8 bits": in_analysis(
        "cost.py", "Energy(0.03, 0.2)", "Energy(0.03, 0.3)", COUNT, "-k", "energies"
    ),
    "variance: n in place of n − 1": in_analysis(
        "variance.py", "/ (len(values) - 1)", "/ len(values)", ANALYSIS, "-k", "repetition"
    ),
    "variance: its error as if the fourth moment were all": in_analysis(
        "variance.py", "max(fourth - variance**2, 0.0)", "fourth", ANALYSIS, "-k", "repetition"
    ),
    "weights: Laplace's scale around the mean": in_analysis(
        "weights.py",
        "float(np.abs(values - location).mean())",
        "float(np.abs(values - mean).mean())",
        ANALYSIS,
        "-k",
        "scipy",
    ),
    "gradients: not the norm but the largest": in_analysis(
        "gradients.py",
        "np.linalg.norm(parameter.grad.numpy().astype(np.float64))",
        "np.abs(parameter.grad.numpy().astype(np.float64)).max()",
        ANALYSIS,
        "-k",
        "gradient_norms",
    ),
    "features: an example at the origin": in_analysis(
        "features.py", "np.where(lengths == 0, 1.0, lengths)", "lengths", ANALYSIS, "-k", "origin"
    ),
    "Lemma 2: the bias is not scaled": in_analysis(
        "two_layers.py",
        "scaled_adder(centres, heights, heights * b)",
        "scaled_adder(centres, heights, b)",
        TWO_LAYERS,
        "-k",
        "formula",
    ),
    "Lemma 2: M bounds the distances alone": in_analysis(
        "two_layers.py",
        "np.maximum(box.farthest(centres) + b, 0.0)",
        "np.maximum(box.farthest(centres), 0.0)",
        TWO_LAYERS,
        "-k",
        "formula",
    ),
    "Theorem 4: the volume under a tent": in_analysis(
        "approximation.py",
        "math.factorial(dimension + 1)",
        "math.factorial(dimension)",
        "tests/test_approximation.py",
        "-k",
        "volume",
    ),
    "Lemma 5: one constant pair too many": in_analysis(
        "bounded_width.py", "rest = (m - 1) * most", "rest = m * most", BOUNDED, "-k", "lattice"
    ),
    "Lemma 5: a filter inside the data's range": in_analysis(
        "bounded_width.py",
        "np.where(signs > 0, box.low, box.high)",
        "np.where(signs > 0, box.low, (box.low + box.high) / 2)",
        BOUNDED,
        "-k",
        "lattice",
    ),
    "top-5: of equal logits all stand before": Bug(
        "evaluation.py",
        "before = ~(logits <= own) | ((logits == own) & earlier)",
        "before = ~(logits < own)",
        ("tests/test_training.py", "-k", "sorting"),
        UNCOMPILED,
    ),
    "Propositions: y above 0 as if below": in_analysis(
        "propositions.py",
        "(distance - target).abs()",
        "(distance - target)",
        "tests/test_propositions.py",
        "-k",
        "distance_above_0",
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
        "NUMBA_CACHE_DIR": str(project / "kernels"),  # of the copy, which goes with it
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
