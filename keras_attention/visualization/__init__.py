"""What networks look at, and pictures of that and of how they learn.

Functions called `draw_…` take the axes to draw on and return the numbers that they
drew; `draw_explanation` makes a figure of its own.
"""

from keras_attention.visualization.attention_maps import AttentionMap, attention_maps
from keras_attention.visualization.classes import draw_class_accuracy, draw_confusion
from keras_attention.visualization.curves import draw_curves, draw_probabilities
from keras_attention.visualization.explaining import Explanation, Heat, explain
from keras_attention.visualization.explaining_files import explain_run
from keras_attention.visualization.grad_cam import GradCAM, grad_cam
from keras_attention.visualization.histograms import draw_histograms
from keras_attention.visualization.intercepting import intercepted
from keras_attention.visualization.occlusion import Occlusion, occlusion_sensitivity
from keras_attention.visualization.overlays import draw_overlay, overlay
from keras_attention.visualization.panels import draw_explanation

__all__ = [
    "AttentionMap",
    "Explanation",
    "GradCAM",
    "Heat",
    "Occlusion",
    "attention_maps",
    "draw_class_accuracy",
    "draw_confusion",
    "draw_curves",
    "draw_explanation",
    "draw_histograms",
    "draw_overlay",
    "draw_probabilities",
    "explain",
    "explain_run",
    "grad_cam",
    "intercepted",
    "occlusion_sensitivity",
    "overlay",
]
