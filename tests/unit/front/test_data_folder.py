from __future__ import annotations

from pathlib import Path

import pytest

from ringback.core.errors import StartupError
from ringback.core.ids import is_id
from ringback.front import data_folder
from ringback.front.data_folder import DataFolder


def opened(path: Path) -> DataFolder:
    folder = DataFolder(path, path / "recordings")
    folder.open()
    return folder


def test_a_node_keeps_its_name(tmp_path: Path) -> None:
    names = []
    for _ in range(2):
        folder = opened(tmp_path / "data")
        names.append(folder.node_id)
        folder.close()
    assert is_id(names[0], "node")
    assert names[0] == names[1]
    assert (tmp_path / "data" / "recordings").is_dir()


def test_a_damaged_name_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "node_id").write_text("nonsense\n")
    folder = opened(tmp_path)
    assert is_id(folder.node_id, "node")
    folder.close()


def test_a_folder_belongs_to_one_node_at_a_time(tmp_path: Path) -> None:
    first = opened(tmp_path)
    with pytest.raises(StartupError, match="Another Ringback runs"):
        opened(tmp_path)
    first.close()
    opened(tmp_path).close()


def test_a_folder_that_cannot_be_made_names_the_setting(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StartupError, match="RINGBACK_DATA_DIR"):
        opened(tmp_path / "file" / "data")


def test_a_full_disk_gives_the_folder_up_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(data_folder, "MIN_FREE_BYTES", 1 << 62)
        with pytest.raises(StartupError, match="is full"):
            opened(tmp_path)
    opened(tmp_path).close()


def test_only_its_owner_can_look_into_a_new_folder(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "data", tmp_path / "data" / "recordings")
    folder.open()
    folder.close()
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "data" / "recordings").stat().st_mode & 0o777 == 0o700
