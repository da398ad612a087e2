"""What a network sees: attention maps, Grad-CAM, occlusion, and their pictures."""

from keras_attention.visualization.attention_maps import AttentionMap, attention_maps
from keras_attention.visualization.grad_cam import GradCAM, grad_cam
from keras_attention.visualization.intercepting import intercepted
from keras_attention.visualization.occlusion import Occlusion, occlusion_sensitivity

__all__ = [
    "AttentionMap",
    "GradCAM",
    "Occlusion",
    "attention_maps",
    "grad_cam",
    "intercepted",
    "occlusion_sensitivity",
]
