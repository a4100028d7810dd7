"""Which models are loaded, for how long, and who may name them."""

from __future__ import annotations

import asyncio
import logging
import shutil
import threading
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

import visioncli
from tests.doubles import MeanColour, colour_of
from tests.server.looping import in_loop, until
from tests.server.test_service import API, ROLE, SETTINGS, pictures, serving
from visioncli.errors import ModelError
from visioncli.server import pace
from visioncli.server.service import Service
from visioncli.server.settings import ServeSettings
from visioncli.server.shelf import OtherTaskError


@dataclass
class Loads:
    """Loads a double each time, and waits for `gate` where there is one."""

    gate: threading.Event | None = None
    made: list[MeanColour] = field(default_factory=list)
    double: MeanColour | None = None

    def __call__(self, checkpoint: Any, request: Any) -> dict[str, Any]:
        self.made.append(self.double or MeanColour())
        if self.gate is not None:
            assert self.gate.wait(20)
        return {"classify": self.made[-1]}


@in_loop
async def test_a_model_that_is_unloaded_while_it_answers_goes_with_its_last_user() -> None:
    double = MeanColour(gate=threading.Event())
    loads = Loads(double=double)
    service = Service(SETTINGS, loads)
    await service.start([API])
    asked = [asyncio.create_task(service.ask(API, ROLE, pictures(n), None)) for n in (1, 2)]
    await asyncio.sleep(0)
    assert await service.unload(API, ROLE)
    assert double.gate is not None
    double.gate.set()
    assert await asyncio.gather(*asked) == [[colour_of(1)], [colour_of(2)]]
    await service.load(API, ROLE)
    assert len(loads.made) == 2  # it was not on the shelf any more
    await service.close()


@in_loop
async def test_who_leaves_while_a_model_is_loaded_leaves_it_to_the_next() -> None:
    loads = Loads(threading.Event())
    service = Service(replace(SETTINGS, preload=False), loads)
    await service.start([API])
    leaves = asyncio.create_task(service.ask(API, ROLE, pictures(1), None))
    await until(lambda: bool(loads.made))
    leaves.cancel()
    await asyncio.wait({leaves})
    assert loads.gate is not None
    loads.gate.set()
    assert await service.ask(API, ROLE, pictures(2), None) == [colour_of(2)]
    assert len(loads.made) == 1
    await service.close()


@in_loop
async def test_a_model_of_another_task_is_refused_before_its_weights_are_loaded() -> None:
    loads = Loads()
    service = Service(SETTINGS, loads)
    with pytest.raises(OtherTaskError, match=r"^demo/sam3 can segment, not classify$"):
        await service.load(API, ROLE, "demo/sam3")
    assert loads.made == []
    await service.close()


@pytest.mark.parametrize("is_ours", [True, False])
@in_loop
async def test_only_the_settings_name_directories(is_ours: bool, tmp_path: Path) -> None:
    folder = str(shutil.copytree(Path(visioncli.__file__).parent / "models/demo/siglip", tmp_path / "siglip"))
    settings = ServeSettings(models={(API, ROLE): folder if is_ours else "demo"}, offline=True)
    service = Service(settings, Loads())
    if is_ours:
        await service.load(API, ROLE)
    else:
        with pytest.raises(ModelError, match="give a hub id"):
            await service.load(API, ROLE, folder)
    await service.close()


@in_loop
async def test_why_a_model_cannot_be_loaded_is_for_the_log_and_not_for_strangers(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = ServeSettings(models={(API, ROLE): str(tmp_path)}, offline=True, preload=False)
    service = Service(settings, Loads())
    await service.start([API])
    with pytest.raises(ModelError, match=r"^the model for classify cannot be loaded; the server's log says why$"):
        await service.ask(API, ROLE, pictures(1), None)
    (said,) = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert str(tmp_path) in said
    await service.close()


@in_loop
async def test_a_step_that_takes_strangely_long_makes_the_server_unready_until_it_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pace, "STRANGE_S", 0.2)
    monkeypatch.setattr(pace, "STRANGE_TIMES", 0.0)
    double = MeanColour()
    async with serving(double) as service:
        await service.ask(API, ROLE, pictures(1), None)
        double.gate = threading.Event()
        asked = asyncio.create_task(service.ask(API, ROLE, pictures(2), None))
        await until(lambda: not service.ready)
        double.gate.set()
        assert await asked == [colour_of(2)]
        assert service.ready
