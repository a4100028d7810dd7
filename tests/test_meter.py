import time
from pathlib import Path
from typing import Any

import pytest

from tests import misbehaving
from tests.doubles import MeanColour, colour_of, picture, refs_of, text_ref
from tests.test_pipeline import server  # noqa: F401
from visioncli.io.fetch import FetchOptions
from visioncli.meter import ADVICE, Meter
from visioncli.pipeline import Save, Settings, answer
from visioncli.samples import Sample


def verdict(meter: Meter) -> str:
    assert sum(meter.shares().values()) == pytest.approx(1)
    found = meter.verdict()
    assert found is not None
    return found[0]


def test_a_meter_that_saw_nothing_has_no_verdict() -> None:
    assert Meter().shares() == dict.fromkeys(["fetch", "decode", "device", "write"], 0.0)
    assert Meter().verdict() is None


def test_the_largest_share_of_the_devices_time_is_the_verdict() -> None:
    meter = Meter()
    meter.hold("device", 1.0)
    meter.hold("decode", 2.0)
    meter.hold("device", 0.5)
    meter.hold("write", 0.5)
    assert meter.shares() == {"fetch": 0.0, "decode": 0.5, "device": 0.375, "write": 0.125}
    assert meter.verdict() == ("decode", ADVICE["decode"])


@pytest.mark.parametrize("whom", ["results", "write"])
def test_what_is_made_after_the_device_is_writing_with_advice_of_its_own(whom: str) -> None:
    meter = Meter()
    meter.hold("decode", 1.5)
    meter.hold("results", 1.0)
    meter.hold("write", 1.0)
    meter.hold(whom, 0.5)
    assert meter.shares() == {"fetch": 0.0, "decode": 0.375, "device": 0.0, "write": 0.625}
    assert meter.verdict() == ("write", ADVICE[whom])


def test_a_slow_model_is_held_back_by_the_device() -> None:
    meter = Meter()
    list(answer([text_ref(at, colour_of(at)) for at in range(40)], MeanColour(4, forward_s=0.05), None, meter=meter))
    assert verdict(meter) == "device"


def test_large_pictures_before_a_fast_model_are_held_back_by_decoding(tmp_path: Path) -> None:
    meter, uris = Meter(), [picture(tmp_path, f"{at}.png", colour_of(at), side=900) for at in range(20)]
    small = MeanColour(4, only_corner=True)
    list(answer(refs_of(uris), small, None, Settings(workers=1), meter=meter))
    assert verdict(meter) == "decode"
    assert meter.decode_s > meter.read_s > 0


def test_a_slow_server_is_held_back_by_fetching(server: misbehaving.Server) -> None:  # noqa: F811
    meter, refs = Meter(), refs_of([server.url(f"/late/{at}.png?s=0.1") for at in range(12)])
    list(answer(refs, MeanColour(4), None, Settings(FetchOptions(per_host=2)), meter=meter))
    assert verdict(meter) == "fetch"


@pytest.mark.parametrize("ahead_rows", [10, 8192])
def test_a_slow_caller_is_held_back_by_writing(ahead_rows: int) -> None:
    meter, refs = Meter(), [text_ref(at, colour_of(at)) for at in range(60)]
    for _ in answer(refs, MeanColour(4), None, Settings(ahead_rows=ahead_rows), meter=meter):
        time.sleep(0.01)
    assert verdict(meter) == "write"


def test_slow_side_files_are_held_back_by_writing_them_and_not_by_the_device(tmp_path: Path) -> None:
    def save(sample: Sample, result: Any) -> Any:
        time.sleep(0.02)
        return result

    meter, uris = Meter(), [picture(tmp_path, f"{at}.png", colour_of(at)) for at in range(40)]
    list(answer(refs_of(uris), MeanColour(4), None, Settings(workers=1), save=Save(save), meter=meter))
    assert meter.verdict() == ("write", ADVICE["results"])
    assert verdict(meter) == "write"
    assert meter.results_s > meter.decode_s


def test_rows_are_counted_as_inferred_or_reused(tmp_path: Path) -> None:
    meter, uris = Meter(), [picture(tmp_path, f"{at}.png", colour_of(at % 3)) for at in range(10)]
    list(answer(refs_of(uris), MeanColour(), None, meter=meter))
    assert (meter.inferred, meter.reused) == (3, 7)
