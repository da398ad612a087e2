"""Train, save, reload and use a small network with attention. No download.

    python examples/demo.py

Trains an AW-SE network on scikit-learn's digits to at least 97% test accuracy (about
a minute on two cores), classifies an image file, and prints what the network costs.
"""

import shutil
import sys
from pathlib import Path

import keras
import tensorflow as tf

import keras_attention as ka
from keras_attention import data, training

RUN = Path("runs/demo")
WANTED_ERROR = 3.0  # percent


def main():
    shutil.rmtree(RUN, ignore_errors=True)
    training.train(
        out=RUN,
        model="cifarresnet-14",
        attention="aw_se",
        data="digits",
        recipe="quick",
        epochs=10,
    )
    evaluation = training.evaluate_run(RUN)  # reloads runs/demo/best.keras
    print(evaluation)

    image, label = a_test_digit()
    print(f"\n{image} shows a {label}:")
    for prediction in training.predict_run(RUN, [image], top=3):
        print(prediction)

    print(f"\n{ka.complexity(keras.saving.load_model(RUN / 'best.keras'))}")
    error = evaluation.top1_error
    print(f"\nTest accuracy {100 - error:.2f}% (wanted: {100 - WANTED_ERROR:.0f}%).")
    return 0 if error <= WANTED_ERROR else 1


def a_test_digit():
    """An image file of a digit that the network was not trained on, and its label."""
    test = data.load("digits").test
    path = RUN / "digit.png"
    path.write_bytes(tf.io.encode_png(test.images[0]).numpy())
    return path, int(test.labels[0])


if __name__ == "__main__":
    sys.exit(main())
