"""What every application shares: input, head, weights, and naming."""

import functools
import inspect
import math

import keras

from keras_attention.choices import check_choice, unknown
from keras_attention.layers.checks import positive_integer
from keras_attention.weights.loading import Weights

COMMON_ARGUMENTS = """
    Arguments of `keras.applications`:
        include_top: bool, whether the classifier is on top.
        weights: None (random); `"imagenet"`; `hf://timm/<model>`; the path of a PyTorch
            or Keras file; a Keras model; or `keras_attention.weights.Weights` of one of
            these, with options. See `keras_attention.weights.load_weights`.
        input_tensor: Keras tensor to build on, instead of `input_shape`.
        input_shape: (height, width, channels), or channels first with that data
            format; height and width may be None, channels may be any number.
        pooling: with `include_top=False`: None (4-D output), `"avg"` or `"max"`.
        classes: int, of the classifier.
        classifier_activation: of the classifier; None for logits.
        name: of the model.

    And of this library:
        attention: what stands at the network's attention sites: None; a name such
            as `"aw_se"`; a spec; a list of specs; a list with one entry per block;
            a dict from block names or patterns to entries. See `AttentionPlan`.
        pyramid: True for a dict of the stages' outputs, `{"P2": …, "P3": …}`, Pn at
            stride 2ⁿ, and no classifier (`include_top` is not looked at).
        data_format: None for `keras.config.image_data_format()`.
"""


def image_input(input_tensor, input_shape, default_shape, data_format):
    """The network's input as a Keras tensor."""
    if input_tensor is not None:
        if not keras.utils.is_keras_tensor(input_tensor):
            raise ValueError(
                "`input_tensor` must be a Keras tensor, such as `keras.Input` makes. "
                f"Received: {type(input_tensor).__name__}."
            )
        if input_shape is not None and tuple(input_shape) != input_tensor.shape[1:]:
            raise ValueError(
                f"`input_shape` {tuple(input_shape)} and the shape of `input_tensor` "
                f"{input_tensor.shape[1:]} differ. Give one of them."
            )
        return input_tensor
    if input_shape is None:
        height, width, channels = default_shape
        input_shape = (
            default_shape
            if data_format == "channels_last"
            else (channels, height, width)
        )
    shaped = isinstance(input_shape, list | tuple) and len(input_shape) == 3
    if not shaped or input_shape[2 if data_format == "channels_last" else 0] is None:
        raise ValueError(
            "`input_shape` must be (height, width, channels), channels known (channels "
            f"first with that data_format). Received: {input_shape!r} with "
            f"data_format={data_format!r}."
        )
    return keras.Input(tuple(input_shape), name="image")


def finish(
    inputs,
    features,
    stages,
    *,
    include_top,
    weights,
    pooling,
    classes,
    classifier_activation,
    name,
    pyramid,
    data_format,
    dropout=0.0,
    head=None,
    flatten=False,
):
    """The model: classifier, pooled or plain features, or pyramid.

    Args:
        inputs, features: first and last tensor.
        stages: list of (stride, tensor), one per stage.
        dropout: rate before the classifier.
        head: function of the pooled features that stands before the dropout, or None.
        flatten: whether the classifier has all places of the features, not their mean.
        (others): see `COMMON_ARGUMENTS`.
    """
    if pooling is not None:
        check_choice("pooling", pooling, ("avg", "max"))
        if include_top or pyramid:
            raise ValueError(
                f"pooling={pooling!r} is for include_top=False without a pyramid. "
                f"Received: include_top={include_top}, pyramid={pyramid}."
            )
    if pyramid:
        outputs = {f"P{int(math.log2(stride))}": x for stride, x in stages}
    elif include_top:
        pooled = _pool(features, "flatten" if flatten else "avg", data_format)
        outputs = _classifier(
            head(pooled) if head else pooled, classes, classifier_activation, dropout
        )
    else:
        outputs = _pool(features, pooling, data_format)
    source = keras.utils.get_source_inputs(inputs)
    model = keras.Model(source[0] if len(source) == 1 else source, outputs, name=name)
    if weights is not None:
        _load(model, weights)
    return model


def check_data_format(data_format):
    """`data_format`, or Keras' own where it is None."""
    if data_format is None:
        return keras.config.image_data_format()
    return check_choice("data_format", data_format, ("channels_last", "channels_first"))


def _classifier(x, classes, activation, dropout):
    positive_integer("classes", classes)
    if dropout:
        x = keras.layers.Dropout(dropout, name="head_dropout")(x)
    # Logits and softmax in the variables' precision: half loses small probabilities.
    dtype = keras.config.dtype_policy().variable_dtype
    return keras.layers.Dense(
        classes, activation=activation, dtype=dtype, name="predictions"
    )(x)


def _pool(x, pooling, data_format):
    if pooling is None:
        return x
    kind = {
        "avg": keras.layers.GlobalAveragePooling2D,
        "max": keras.layers.GlobalMaxPooling2D,
        "flatten": keras.layers.Flatten,
    }[pooling]
    name = pooling if pooling == "flatten" else f"{pooling}_pool"
    return kind(data_format=data_format, name=name)(x)


def _load(model, weights):
    options = weights if isinstance(weights, Weights) else Weights(weights)
    options.load_into(model)


def names_arguments(base=None):
    """Decorator: a misspelt argument is an error that lists them, nearest first.

    Args:
        base: the network that the decorated one hands its `**kwargs` to.
    """

    def decorate(network):
        parameters = inspect.signature(network).parameters
        known = [n for n, p in parameters.items() if p.kind is not p.VAR_KEYWORD]
        known += inspect.signature(base).parameters if base else []

        @functools.wraps(network)
        def build(*args, **kwargs):
            _check_names(network.__name__, kwargs, known)
            return network(*args, **kwargs)

        return build

    return decorate


def _check_names(network, given, known):
    for name in given:
        if name not in known:
            raise unknown(f"argument of {network}", name, known)


def constructor(name, base, doc, **fixed):
    """A network as a row of a table: `base` with some arguments fixed.

    Args:
        name: of the constructor; in lower case the model's default name, but where
            `base` has None there, to make one of its arguments.
        base: the generic network.
        doc: first lines of the docstring.
        **fixed: arguments of `base` that the row decides.
    """
    parameters = [
        p.replace(default=name.lower()) if p.name == "name" and p.default else p
        for p in inspect.signature(base).parameters.values()
        if p.name not in fixed
    ]
    signature = inspect.Signature(parameters)

    def build(*args, **kwargs):
        _check_names(name, kwargs, signature.parameters)
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return base(**fixed, **bound.arguments)

    build.__name__ = build.__qualname__ = name
    build.__module__ = base.__module__
    build.__signature__ = signature
    build.__doc__ = f"{doc}\n{COMMON_ARGUMENTS}\n    More: see `{base.__name__}`.\n"
    return build
