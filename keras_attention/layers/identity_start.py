"""Attentions that change nothing at first, so that a trained network keeps its output.

Any gate A = σ(l(x)) becomes σ(s · l(x)) with a learned scalar s that starts at 0, and
is divided by what it then is:

- x ⊙ A becomes x ⊙ 2σ(s·l),
- x + x ⊙ A becomes x + x ⊙ (σ(s·l) − ½) / 1.5,

both x itself at s = 0, to the last bit. As s multiplies logits and not outputs, it can
be worked into the gate's own weights after training (`fold_into`), which leaves the
plain attention and a constant gain.

At s = 0 the output depends on s alone, so the first step's gradient moves s, and the
gates' weights follow from the second step on. It needs logits that are not 0: the last
bias of a gate, where it has one, is drawn and not 0 (`last_bias_initializer`).
"""

import keras
from keras import ops

# σ(0), and the gain 1 + σ(0) of a residual gate.
MIDDLE = 0.5
RESIDUAL_GAIN = 1 + MIDDLE

# Standard deviation of the last biases, small against where σ bends.
LAST_BIAS = 0.1

# By which power a statistic grows with its input.
DEGREES = {"avg": 1, "max": 1, "var": 2, "biased_var": 2}


class IdentityStart:
    """Mixin of layers with a gate; they set `identity_start` in `__init__`.

    A subclass makes `scale` by `add_scale()` in `build`, squashes its logits by
    `squash`, and says in `rescale` how its weights take a scale and a gain up.
    """

    identity_start = False
    # y = identity_gain · (the plain layer with the scale in its weights).
    identity_gain = 1.0

    @property
    def last_bias_initializer(self):
        """Of the bias that logits end with: small random numbers, or zeros without it.

        Where all hidden units are dead, logits are that bias alone: of zeros neither
        it nor the scale would ever get a gradient.
        """
        if self.identity_start:
            return keras.initializers.RandomNormal(stddev=LAST_BIAS)
        return "zeros"

    def add_scale(self):
        if self.identity_start:
            self.scale = self.add_weight(shape=(), initializer="zeros", name="scale")

    def squash(self, logits, function=ops.sigmoid, residual=False):
        """The gate of these logits.

        Args:
            logits: tensor.
            function: σ, with σ(0) = ½.
            residual: whether the gate is of x + x ⊙ A.
        """
        if not self.identity_start:
            return function(logits)
        gate = function(ops.cast(self.scale, logits.dtype) * logits)
        return (gate - MIDDLE) / RESIDUAL_GAIN if residual else gate / MIDDLE

    def fold_into(self, plain, input_gain=1.0):
        """Give `plain`, this layer without `identity_start`, the weights of it.

        Then y(x) = identity_gain / input_gain · plain(input_gain · x).

        Args:
            plain: a built layer of this one's config but for `identity_start`.
            input_gain: number above 0, what the plain layer's input is multiplied by.

        Raises:
            ValueError: no weights of the plain form do that, for the reason given.
        """
        kept = [weight for weight in self.weights if weight.name != "scale"]
        for own, theirs in zip(kept, plain.weights, strict=True):
            # By NumPy: on JAX the two would share an array that training gives away.
            theirs.assign(ops.convert_to_numpy(own))
        self.rescale(plain, input_gain)

    def rescale(self, plain, input_gain):
        """Multiply the logits of `plain` by `scale`, for a multiplied input."""
        raise NotImplementedError("a subclass knows its weights")  # abstract


def multiply(variables, factor):
    """Multiply weights by a number or an array; None among them are passed over."""
    for variable in variables:
        if variable is not None:
            variable.assign(variable * keras.ops.cast(factor, variable.dtype))
