"""What a worker does to one row: read, hash, decode, preprocess. Knows nothing of other rows or of threads."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Hashable
from dataclasses import replace
from typing import Any, TypeAlias

from visioncli.errors import PredictError
from visioncli.io.decode import DecodeOptions, decode
from visioncli.io.fetch import Fetched, FetchOptions, Unchanged, read
from visioncli.meter import Meter
from visioncli.models import Predictor
from visioncli.row import Row
from visioncli.samples import Facts, ImageRef, Kept, Sample

Known: TypeAlias = Callable[[ImageRef, str | None], bool]  # does an earlier answer stand? asked with None, then sha256


def identify(row: Row, options: FetchOptions, known: Known, meter: Meter) -> Kept | None:
    """Read and hash the row's file; return an outcome where an earlier answer stands. Raises FetchError."""
    ref = row.ref
    if ref.uri is None:
        row.facts, row.key = Facts(), (None, _extra_key(ref))
        return None
    started = time.perf_counter()
    fetched = row.fetched or read(ref.uri, options, ref.seen)
    if isinstance(fetched, Unchanged):
        return Kept(ref, None)
    row.fetched = fetched
    sha256 = hashlib.sha256(fetched.data).hexdigest()
    meter.add(read_s=time.perf_counter() - started)
    row.facts = Facts(sha256, len(fetched.data), ref.version or fetched.version)
    row.key = (sha256, _extra_key(ref))
    return Kept(ref, row.facts) if known(ref, sha256) else None


def prepare(row: Row, predictor: Predictor[Any, Any], options: Any, how: DecodeOptions, keeps_pixels: bool) -> None:
    """Decode the row's picture and make its inputs. Raises DecodeError, PredictError."""
    assert row.facts is not None
    image = None
    if isinstance(row.fetched, Fetched):
        decoded = decode(row.fetched.data, how, predictor.decode_size)
        row.facts = replace(row.facts, size=decoded.size, exif=decoded.exif)
        image = decoded.image
    row.fetched = None
    sample = Sample(row.ref, row.facts, image)
    try:
        row.inputs = predictor.preprocess(sample, options)
    except MemoryError as error:
        raise PredictError("out_of_memory", "there was not enough memory to prepare the picture") from error
    except (ValueError, TypeError, OverflowError, RuntimeError) as error:
        raise PredictError("preprocess_failed", f"preprocessing failed: {error}") from error
    row.sample = sample if keeps_pixels else replace(sample, image=None)  # the model's are in `inputs` now


def _extra_key(ref: ImageRef) -> Hashable:
    return repr(sorted(ref.extra.items())) if ref.extra else None
