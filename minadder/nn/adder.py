"""What Adder2d and AdderLinear share: the exponent of their distance, and their gradient rules."""

from __future__ import annotations

from typing import Any

import numpy as np

from minadder.nn.module import Module
from minadder.ops.windowed import check_p, check_rules


class AdderLayer(Module):
    """A layer that measures Σ |X − F|^p; use Adder2d or AdderLinear.

    An exponent other than 1 is a buffer, so that it is saved with the net: an ℓp net that was trained with p falling
    to 1 has p = 1 when it is loaded. Layers with p = 1 have no such entry, as in the authors' released networks.
    """

    p: Any
    weight_grad: str
    input_grad: str

    def _keep_rules(self, p: float, weight_grad: str, input_grad: str | None) -> None:
        """Check and keep the exponent and the rules."""
        rules = check_rules(p, weight_grad, input_grad)
        self.weight_grad, self.input_grad = rules["weight_grad"], rules["input_grad"]
        if rules["p"] == 1:
            self.p = 1.0
        else:
            self.register_buffer("p", np.array(rules["p"], np.float32))

    def set_p(self, p: float) -> None:
        """Change the exponent of a layer that was made with one other than 1.

        Raises
        ------
        TypeError, ValueError
            When p is no number in [1, 2], or the layer was made with p = 1, which no file would hold.
        """
        if "p" not in self._buffer_names:
            raise ValueError(
                f"{type(self).__name__} was made with p = 1, which does not change: make it with p = 2, "
                'or the net with layer="adder-lp"'
            )
        self.p[...] = check_p(p)

    def rules(self) -> dict[str, Any]:
        """Return p and the gradient rules, as the operations take them."""
        return {"p": float(self.p), "weight_grad": self.weight_grad, "input_grad": self.input_grad}

    def rules_repr(self) -> str:
        """Return the exponent where it is not 1, and the gradient rules."""
        exponent = f", p={float(self.p):g}" if "p" in self._buffer_names else ""
        return f"{exponent}, weight_grad={self.weight_grad!r}, input_grad={self.input_grad!r}"
