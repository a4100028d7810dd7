import checkpoints
import pytest
import torch

from visioncli.errors import DeviceError, UsageError
from visioncli.models.runtime import choose, padded
from visioncli.provenance import Choice


@pytest.mark.skipif(torch.cuda.is_available() or torch.backends.mps.is_available(), reason="has an accelerator")
@pytest.mark.parametrize("device", ["cuda", "cuda:3", "mps"])
def test_a_device_that_is_not_here_is_an_error_that_says_what_to_do(device):
    with pytest.raises(DeviceError, match="use --device cpu"):
        choose(device=device)


@pytest.mark.parametrize("asked", [{"device": "tpu"}, {"device": "cuda:x"}, {"dtype": "int8"}, {"batch_size": 0}])
def test_a_name_or_number_that_is_none_is_a_usage_error(asked):
    with pytest.raises(UsageError):
        choose(**asked)


def test_what_is_asked_for_is_taken():
    resumed = choose("cpu", "float16", 5, resumes=True).batch_size
    assert (resumed.value, resumed.reason) == (5, "as the unfinished run")
    runtime = choose("cpu", "float16", 5)
    assert (runtime.device, runtime.dtype, runtime.batch_size) == tuple(
        Choice(v, "asked for") for v in ("cpu", "float16", 5)
    )


def test_each_automatic_choice_has_a_reason():
    runtime = choose()
    for choice in (runtime.device, runtime.dtype, runtime.batch_size):
        assert choice.value
        assert choice.reason


def test_a_cpu_without_bfloat16_in_hardware_gets_float32():
    able = torch.cpu.get_capabilities()
    fast = bool(able.get("avx512_bf16") or able.get("amx_bf16"))
    assert choose("cpu").dtype.value == ("bfloat16" if fast else "float32")


@pytest.mark.parametrize(("rows", "batch"), [(0, 1), (1, 1), (2, 2), (3, 4), (5, 8), (8, 8), (9, 8), (10**9, 8)])
def test_a_short_run_is_not_padded_to_a_long_batch(rows, batch):
    assert choose("cpu", rows=rows).batch_size.value == batch


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 5, 6, 7, 8, 16, 32])
def test_a_row_does_not_depend_on_its_slot(small_siglip, rows):
    from visioncli import models
    from visioncli.models.runtime import RuntimeRequest

    threads = torch.get_num_threads()
    torch.set_num_threads(2)  # with 3 or 6, see `padded`
    predictor = models.load(small_siglip, "embed", RuntimeRequest("cpu", "float32"))
    pixels = predictor._encoder.recipe.apply(checkpoints.pictures()[9])
    vectors = predictor._encoder.image.vectors([pixels] * rows)
    torch.set_num_threads(threads)
    assert len(vectors) == rows
    assert all((vector == vectors[0]).all() for vector in vectors)


def test_rows_are_padded_to_what_rounds_alike_in_every_slot():
    assert [padded(rows) for rows in (1, 2, 3, 4, 5, 7, 8, 9, 32)] == [1, 2, 3, 4, 8, 8, 8, 12, 32]
