import pytest

from visioncli.errors import UsageError
from visioncli.tables import look_up

TABLE = {"path": "os.path:join", "absent": "visioncli.nowhere:nothing"}


def test_an_import_string_becomes_the_object_it_names() -> None:
    import os.path

    assert look_up(TABLE, "path", "function") is os.path.join


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"^unknown function 'x'; known: absent, path$"):
        look_up(TABLE, "x", "function")


def test_what_cannot_be_imported_says_so_itself() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"visioncli\.nowhere"):
        look_up(TABLE, "absent", "function")
