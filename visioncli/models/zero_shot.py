"""Classify and embed over two towers that share a space; embed over a picture's tower alone.

Knows nothing of families, files or tables.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visioncli.errors import ModelError, PredictError, UsageError
from visioncli.models import Predictor
from visioncli.models.dual_encoder import DualEncoder, ImageEncoder, Vector, unit
from visioncli.models.preprocess import Pixels
from visioncli.models.steps import step
from visioncli.models.text import LONGEST
from visioncli.samples import Sample
from visioncli.tasks.classify import ClassifyOptions, Labelled
from visioncli.tasks.embed import Embedded, EmbedOptions

LABEL_SETS = 32  # as many different lists of labels stay ready


class ClassifyPredictor:
    """Every picture against the options' labels, which are applied in `postprocess`: any labels share a batch."""

    def __init__(self, encoder: DualEncoder) -> None:
        self._encoder = encoder
        self.info = encoder.info
        self.decode_size: tuple[int, int] | None = encoder.recipe.decode_size
        self._labels: OrderedDict[tuple[tuple[str, ...], tuple[str, ...]], NDArray[np.float64]] = OrderedDict()
        self._lock = threading.Lock()

    def check(self, options: ClassifyOptions) -> None:
        """Raise UsageError where the model cannot answer what is asked, before any picture is read.

        CLIP was trained with softmax alone: without a trained bias the sigmoid of its logits is 1 for every label.
        """
        if options.scoring == "sigmoid" and self._encoder.bias is None:
            raise UsageError(f"{self.info.id} has no trained bias for sigmoid scores; use softmax or cosine")

    def preprocess(self, sample: Sample, options: ClassifyOptions) -> Pixels:
        """(h, w, 3), as the model sees it. Raises PredictError."""
        self.check(options)
        return self._encoder.recipe.apply(_picture(sample))

    def prepare(self, options: ClassifyOptions) -> None:
        """Compute the labels' vectors. Raises ModelError."""
        self._label_vectors(options)

    def forward(self, inputs: Sequence[Pixels], options: ClassifyOptions) -> list[Vector | PredictError]:
        """One unit vector per picture."""
        return [v if isinstance(v, PredictError) else unit(v) for v in self._encoder.image.vectors(inputs)]

    def postprocess(
        self, outputs: Sequence[Vector], samples: Sequence[Sample], options: ClassifyOptions
    ) -> list[Labelled]:
        """Scores in the options' scoring, best first; equal ones in the order of the labels."""
        labels = self._label_vectors(options)
        return [self._labelled(labels @ vector.astype(np.float64), options) for vector in outputs]

    def batch_key(self, options: ClassifyOptions, inputs: Pixels) -> Hashable:
        return "pixels"

    def with_same_weights(self, task: str) -> Predictor[Any, Any]:
        """Return a predictor for another task of PREDICTORS."""
        return PREDICTORS[task](self._encoder)

    def _labelled(self, cosines: NDArray[np.float64], options: ClassifyOptions) -> Labelled:
        logits = cosines * self._encoder.scale + (self._encoder.bias or 0.0)
        scores = SCORES[options.scoring](cosines, logits)
        # Rounded first, so that the order of the table is the order of its numbers.
        best = np.lexsort((-logits.astype(np.float32), -scores.astype(np.float32)))[: options.top_k]
        return Labelled(
            tuple(options.labels[i] for i in best), scores[best].astype(np.float32), logits[best].astype(np.float32)
        )

    def _label_vectors(self, options: ClassifyOptions) -> NDArray[np.float64]:
        """(L, D) unit vectors, float64: a product's last bit would otherwise depend on the label's place."""
        key = options.labels, options.templates
        with self._lock:
            vectors = self._labels.get(key)
        if vectors is None:
            vectors = self._ensemble(options)  # unlocked: a device may hang
        with self._lock:
            self._labels[key] = vectors
            self._labels.move_to_end(key)
            while len(self._labels) > LABEL_SETS:
                self._labels.popitem(last=False)
        return vectors

    def _ensemble(self, options: ClassifyOptions) -> NDArray[np.float64]:
        """Per label: each template's vector made unit, averaged, made unit again (CLIP, section 3.1.4)."""
        texts = [filled(template, label) for label in options.labels for template in options.templates]
        vectors = np.stack([self._finite(text, v) for text, v in zip(texts, self._vectors(texts), strict=True)])
        return unit(unit(vectors).reshape(len(options.labels), len(options.templates), -1).mean(axis=1))

    def _vectors(self, texts: Iterable[str]) -> list[Vector | PredictError]:
        return self._encoder.texts([self._ids(text) for text in texts])

    def _ids(self, text: str) -> NDArray[np.int64]:
        step()
        return self._encoder.tokenizer.ids(text)

    def _finite(self, text: str, vector: Vector | PredictError) -> NDArray[np.float64]:
        if isinstance(vector, PredictError):
            raise ModelError(f"{self.info.id} has no finite vector for the text {text!r}")
        return vector.astype(np.float64)


def filled(template: str, label: str) -> str:
    """Return the template with the label in it; of a label no more than a text's tokenizer looks at."""
    return template.replace("{}", label[:LONGEST])


def _softmax(cosines: NDArray[np.float64], logits: NDArray[np.float64]) -> NDArray[np.float64]:
    powers: NDArray[np.float64] = np.exp(logits - logits.max())
    scores: NDArray[np.float64] = powers / powers.sum()
    return scores


def _sigmoid(cosines: NDArray[np.float64], logits: NDArray[np.float64]) -> NDArray[np.float64]:
    small: NDArray[np.float64] = np.exp(-np.abs(logits))  # never overflows
    return np.where(logits >= 0, 1 / (1 + small), small / (1 + small))


def _cosine(cosines: NDArray[np.float64], logits: NDArray[np.float64]) -> NDArray[np.float64]:
    return cosines


SCORES = {"softmax": _softmax, "sigmoid": _sigmoid, "cosine": _cosine}  # tasks.classify.SCORINGS


@dataclass(frozen=True, slots=True)
class Inputs:
    pixels: Pixels | None  # (h, w, 3)
    ids: NDArray[np.int64] | None  # (length,)

    @property
    def nbytes(self) -> int:
        return sum(part.nbytes for part in (self.pixels, self.ids) if part is not None)


@dataclass(frozen=True, slots=True)
class Vectors:
    image: Vector | None  # (T, C) where tokens were asked for
    text: Vector | None

    @property
    def nbytes(self) -> int:
        return sum(part.nbytes for part in (self.image, self.text) if part is not None)


class EmbedPredictor:
    """A picture's vector, a text's, or both; or a picture's tokens."""

    def __init__(self, encoder: ImageEncoder) -> None:
        self._encoder = encoder
        self.info = encoder.info
        self.decode_size: tuple[int, int] | None = encoder.recipe.decode_size

    def check(self, options: EmbedOptions) -> None:
        """Raise UsageError where the model has no text tower, or no tokens, and is asked for them."""
        if options.text_column is not None and not isinstance(self._encoder, DualEncoder):
            raise UsageError(f"{self.info.id} reads no text; a SigLIP or CLIP model embeds pictures and texts alike")
        if options.features == "tokens" and self._encoder.tokens is None:
            raise UsageError(f"{self.info.id} has no token features; a DINOv3, SigLIP or CLIP vision transformer has")

    def preprocess(self, sample: Sample, options: EmbedOptions) -> Inputs:
        """Raises PredictError: text_missing where the text alone was asked for and there is none."""
        self.check(options)
        ids = self._ids(sample, options)
        if options.image:
            return Inputs(self._encoder.recipe.apply(_picture(sample)), ids)
        if ids is None:
            raise PredictError("text_missing", f"the column {options.text_column} is empty")
        return Inputs(None, ids)

    def prepare(self, options: EmbedOptions) -> None:
        """Nothing is needed but pictures and texts."""

    def forward(self, inputs: Sequence[Inputs], options: EmbedOptions) -> list[Vectors | PredictError]:
        """One row per input; vectors as the model gives them, not normalised."""
        images = self._images([row.pixels for row in inputs if row.pixels is not None], options)
        texts = self._texts([row.ids for row in inputs if row.ids is not None])
        image, text = iter(images), iter(texts)
        return [
            _together(None if row.pixels is None else next(image), None if row.ids is None else next(text))
            for row in inputs
        ]

    def postprocess(
        self, outputs: Sequence[Vectors], samples: Sequence[Sample], options: EmbedOptions
    ) -> list[Embedded]:
        return [_embedded(vectors, options) for vectors in outputs]

    def batch_key(self, options: EmbedOptions, inputs: Inputs) -> Hashable:
        """Texts are computed in batches of their own, so only pictures must fill theirs."""
        return "text" if inputs.pixels is None else options.features

    def _ids(self, sample: Sample, options: EmbedOptions) -> NDArray[np.int64] | None:
        if options.text_column is None:
            return None
        text = sample.ref.extra.get(options.text_column)
        if text is None or not str(text).strip():
            return None
        return self._dual.tokenizer.ids(str(text))

    def _images(self, pixels: Sequence[Pixels], options: EmbedOptions) -> list[Vector | PredictError]:
        tower = self._encoder.image if options.features == "pooled" else self._encoder.tokens
        assert tower is not None  # `preprocess` refuses tokens where there are none
        return tower.vectors(pixels) if pixels else []

    def _texts(self, ids: Sequence[NDArray[np.int64]]) -> list[Vector | PredictError]:
        return self._dual.texts(ids) if ids else []

    @property
    def _dual(self) -> DualEncoder:
        assert isinstance(self._encoder, DualEncoder)  # `preprocess` refuses texts where they are not read
        return self._encoder


PREDICTORS: dict[str, Callable[[DualEncoder], Predictor[Any, Any]]] = {
    "classify": ClassifyPredictor,
    "embed": EmbedPredictor,
}


def predictor(encoder: DualEncoder, task: str, need_image: bool, need_text: bool) -> Predictor[Any, Any]:
    """Return the encoder as a predictor for `task`, a key of PREDICTORS, with what is needed loaded.

    Raises ModelError.
    """
    encoder.ready(need_image, need_text)
    return PREDICTORS[task](encoder)


def _picture(sample: Sample) -> NDArray[np.uint8]:
    if sample.image is None:
        raise PredictError("input_missing", "the row has no picture")
    return sample.image


def _together(image: Vector | PredictError | None, text: Vector | PredictError | None) -> Vectors | PredictError:
    if isinstance(image, PredictError):
        return image
    return text if isinstance(text, PredictError) else Vectors(image, text)


def _embedded(vectors: Vectors, options: EmbedOptions) -> Embedded:
    if options.features == "tokens":
        return Embedded(None, tokens=vectors.image)
    image, text = (None if v is None else unit(v) if options.normalize else v for v in (vectors.image, vectors.text))
    if image is not None:
        return Embedded(image, text)
    assert text is not None  # `preprocess` refuses a row without either
    return Embedded(text)
