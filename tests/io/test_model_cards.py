import json

import pytest

from visioncli.io import hub
from visioncli.io.licences import Terms
from visioncli.io.model_cards import terms_in

SAYS_NO = "fine is for non-commercial use only (cc-by-nc-4.0)"


def checkpoint(directory, card=None, config=None):
    directory.mkdir()
    (directory / "config.json").write_text(json.dumps(config or {"model_type": "siglip"}))
    (directory / "model.safetensors").write_bytes(b"\x02\x00\x00\x00\x00\x00\x00\x00{}")
    if card is not None:
        (directory / "README.md").write_text(card)
    return directory


@pytest.mark.parametrize(
    ("card", "licence", "non_commercial"),
    [
        (None, None, False),
        ("# no head", None, False),
        ("---\n: [\n---\n# not YAML", None, False),
        ("---\nlicense: mit\n---\n", "mit", False),
        ("---\nlicense: cc-by-nc-4.0\n---\n", "cc-by-nc-4.0", True),
        ("---\nlicense: other\nlicense_name: dinov3-license\n---\n", "dinov3-license", False),
    ],
)
def test_a_model_card_names_the_licence(tmp_path, card, licence, non_commercial):
    assert terms_in(checkpoint(tmp_path / "fine", card)) == Terms(licence, non_commercial=non_commercial)


def test_a_directory_that_is_for_non_commercial_use_says_so(tmp_path):
    found = hub.locate(str(checkpoint(tmp_path / "fine", "---\nlicense: cc-by-nc-4.0\n---\n")), "embed")
    assert (found.licence, found.notice) == ("cc-by-nc-4.0", SAYS_NO)


@pytest.mark.parametrize("name", ["da3-large", "da3-giant", "da3nested-giant-large"])
def test_a_published_depth_model_is_known_by_its_name(tmp_path, name):
    found = hub.locate(str(checkpoint(tmp_path / "fine", config={"model_name": name})), "depth")
    assert found.notice == SAYS_NO


@pytest.mark.parametrize("name", ["da3-small", "da3-base", "da3mono-large", "da3metric-large"])
def test_a_free_depth_model_needs_no_announcement(tmp_path, name):
    found = hub.locate(str(checkpoint(tmp_path / "fine", config={"model_name": name})), "depth")
    assert (found.licence, found.notice) == ("apache-2.0", None)
