"""Recipes, training that can go on where it stopped, evaluation, prediction."""

from keras_attention.training.compilation import compile
from keras_attention.training.evaluation import Evaluation, evaluate
from keras_attention.training.finetune_recipes import (
    FINETUNE_RECIPES,
    FinetuneRecipe,
    finetune_recipe,
)
from keras_attention.training.finetuning import FinetuneRequest, finetune
from keras_attention.training.fitting import fit
from keras_attention.training.metrics import TopKError
from keras_attention.training.optimizer import SGDL2
from keras_attention.training.prediction import Prediction, predict
from keras_attention.training.recipes import RECIPES, Recipe, recipe
from keras_attention.training.run_folder import read_preprocessing, read_run
from keras_attention.training.runs import (
    Request,
    evaluate_run,
    load_trained,
    predict_run,
    train,
)
from keras_attention.training.schedules import WarmUp, learning_rate_schedule

__all__ = [
    "FINETUNE_RECIPES",
    "RECIPES",
    "SGDL2",
    "Evaluation",
    "FinetuneRecipe",
    "FinetuneRequest",
    "Prediction",
    "Recipe",
    "Request",
    "TopKError",
    "WarmUp",
    "compile",
    "evaluate",
    "evaluate_run",
    "finetune",
    "finetune_recipe",
    "fit",
    "learning_rate_schedule",
    "load_trained",
    "predict",
    "predict_run",
    "read_preprocessing",
    "read_run",
    "recipe",
    "train",
]
