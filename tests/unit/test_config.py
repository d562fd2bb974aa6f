"""Which ledger, actor and keys: one order, named places, and a word about where each value came from."""

from __future__ import annotations

from pathlib import Path

import pytest

from ledger.config import (
    FOLDER,
    config_folder,
    find_folder,
    load_settings,
    replace_setting,
    state_folder,
    write_settings,
)
from ledger.errors import ConfigurationError
from ledger.home import Home
from ledger.newhome import create_home
from ledger.recorders import open_recorder, sqlite_path
from ledger.recorders.sqlite import SqliteRecorder


def make(folder: Path, text: str = 'ledger = "sqlite:///ledger.db"\n') -> Path:
    home = folder / FOLDER
    home.mkdir(parents=True)
    (home / "config.toml").write_text(text)
    return home


def user(text: str) -> None:
    config_folder().mkdir(parents=True, exist_ok=True)
    (config_folder() / "config.toml").write_text(text)


# -- where -----------------------------------------------------------------------------------------


def test_the_nearest_folder_upwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    outer = make(tmp_path)
    inner = make(tmp_path / "a" / "b")
    deep = tmp_path / "a" / "b" / "c" / "d"
    deep.mkdir(parents=True)
    assert find_folder(deep) == inner
    assert find_folder(tmp_path / "a") == outer
    (deep / FOLDER).mkdir()  # without settings in it, it is no ledger's folder
    assert find_folder(deep) == inner
    monkeypatch.chdir(deep)
    settings = load_settings()
    assert settings.folder == inner
    assert settings.url == f"sqlite:///{inner}/ledger.db"
    assert settings.origins == {"ledger": str(inner / "config.toml")}


def test_nothing_named_anywhere(tmp_path: Path):
    with pytest.raises(ConfigurationError) as caught:
        load_settings(start=tmp_path)
    assert "muniment init" in caught.value.hint


def test_a_named_folder(tmp_path: Path):
    home = make(tmp_path / "x")
    for named in (str(tmp_path / "x"), str(home), str(tmp_path / "x" / "..") + "/x"):
        assert load_settings(named, start=tmp_path).folder == home
    for named in (str(tmp_path), str(tmp_path / "nowhere"), "nowhere"):
        with pytest.raises(ConfigurationError) as caught:
            load_settings(named, start=tmp_path)
        assert named in caught.value.message
        assert caught.value.hint


def test_a_url_is_taken_as_it_is(tmp_path: Path):
    url = "postgresql://me@host/db?schema=x"
    settings = load_settings(url, start=tmp_path)
    assert (settings.url, settings.folder, settings.origins) == (url, None, {"ledger": "--ledger"})


# -- which value wins ------------------------------------------------------------------------------


def test_the_order_of_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    user('ledger = "sqlite:////user.db"\nactor = "p-user"\nkeys = "/user/keys"\n')
    settings = load_settings(start=tmp_path)
    assert (settings.url, settings.actor, settings.keys) == ("sqlite:////user.db", "p-user", Path("/user/keys"))
    assert set(settings.origins.values()) == {str(config_folder() / "config.toml")}

    home = make(tmp_path, 'ledger = "sqlite:////folder.db"\nactor = "p-folder"\n')
    settings = load_settings(start=tmp_path)
    assert (settings.url, settings.actor, settings.keys) == ("sqlite:////folder.db", "p-folder", Path("/user/keys"))
    assert settings.origins["actor"] == str(home / "config.toml")

    monkeypatch.setenv("MUNIMENT_LEDGER", "sqlite:////environment.db")
    monkeypatch.setenv("MUNIMENT_ACTOR", "p-environment")
    monkeypatch.setenv("MUNIMENT_KEYS", "/environment/keys")
    settings = load_settings(start=tmp_path)
    assert (settings.url, settings.actor) == ("sqlite:////environment.db", "p-environment")
    assert settings.keys == Path("/environment/keys")
    assert settings.origins == {name: f"MUNIMENT_{name.upper()}" for name in ("ledger", "actor", "keys")}

    settings = load_settings("sqlite:////flag.db", start=tmp_path)
    assert (settings.url, settings.origins["ledger"]) == ("sqlite:////flag.db", "--ledger")


def test_an_empty_variable_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    make(tmp_path, 'ledger = "sqlite:////folder.db"\nactor = "p-folder"\n')
    for name in ("MUNIMENT_LEDGER", "MUNIMENT_ACTOR", "MUNIMENT_KEYS"):
        monkeypatch.setenv(name, "")
    settings = load_settings(start=tmp_path)
    assert (settings.url, settings.actor, settings.keys) == ("sqlite:////folder.db", "p-folder", None)


def test_relative_paths_belong_to_where_they_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    home = make(tmp_path / "x", 'ledger = "sqlite:///store/l.db?mode=ro"\nkeys = "keys"\n')
    work = tmp_path / "x" / "deep"
    work.mkdir()
    settings = load_settings(start=work)
    assert settings.url == f"sqlite:///{home}/store/l.db?mode=ro"
    assert settings.keys == home / "keys"
    monkeypatch.setenv("MUNIMENT_LEDGER", "sqlite:///here.db")
    assert load_settings(start=work).url == f"sqlite:///{work}/here.db"
    assert load_settings("sqlite:///flag.db", start=work).url == f"sqlite:///{work}/flag.db"


# -- bad files -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ledger = ", "cannot be read"),
        ("[ledger]\n", "'ledger'"),
        ("ledger = 5\n", "'ledger'"),
        ('ledgers = "sqlite:////x.db"\n', "'ledgers'"),
        ('ledger = "sqlite:////x.db"\npassphrase = "x"\n', "'passphrase'"),
    ],
)
def test_a_bad_file_is_said_with_its_name(tmp_path: Path, text: str, words: str):
    home = make(tmp_path, text)
    with pytest.raises(ConfigurationError, match=words) as caught:
        load_settings(start=tmp_path)
    assert str(home / "config.toml") in caught.value.message


def test_a_file_that_is_no_text(tmp_path: Path):
    home = make(tmp_path)
    (home / "config.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_settings(start=tmp_path)


def test_a_bad_user_file_is_said_too(tmp_path: Path):
    make(tmp_path)
    user("ledger = ")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_settings(start=tmp_path)


# -- writing ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value", ["plain", 'a "quoted" word', "back\\slash", "tab\there", "line\nbreak", "ünï", "a#b", ""]
)
def test_what_is_written_is_read(tmp_path: Path, value: str):
    (tmp_path / FOLDER).mkdir()
    write_settings(tmp_path / FOLDER, {"ledger": "sqlite:////x.db", "actor": value})
    assert load_settings(start=tmp_path).actor == (value or None)


# -- URLs and the files they mean ------------------------------------------------------------------


AWKWARD = ("plain", "with space", "a#b", "a%20b", "a?b", "ünï", "100%", "a+b", "a;b", "a&b=c")


@pytest.mark.parametrize("name", AWKWARD)
def test_a_ledger_in_a_folder_of_any_name(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch):
    folder = tmp_path / name
    folder.mkdir()
    made = create_home(folder, "ledger.example/awkward")
    made.new.ledger.close()
    assert (folder / FOLDER / "ledger.db").is_file()
    assert sorted(item.name for item in tmp_path.iterdir()) == [name]
    monkeypatch.chdir(folder)
    with Home.find().open() as ledger:
        assert ledger.emit("incident.opened", "incident:1", title="x").index == 2
        assert isinstance(ledger.recorder, SqliteRecorder)
        assert ledger.recorder.store.path == folder / FOLDER / "ledger.db"


def test_the_path_of_a_url():
    assert sqlite_path("sqlite:///a/b.db") == Path("a/b.db")
    assert sqlite_path("sqlite:////a/b.db") == Path("/a/b.db")
    assert sqlite_path("sqlite:////a/b%20c.db?mode=ro") == Path("/a/b c.db")


@pytest.mark.parametrize("url", ["mysql://x", "file.db", "", "http://x/y", "sqlite"])
def test_a_scheme_nobody_knows(url: str):
    with pytest.raises(ConfigurationError) as caught:
        open_recorder(url)
    assert "sqlite:///" in caught.value.hint


def test_the_users_folders_are_the_users(isolated_environment: Path):
    assert config_folder() == isolated_environment / ".config" / "muniment"
    assert state_folder() == isolated_environment / ".local" / "state" / "muniment"
    assert not config_folder().exists()


def test_a_store_named_by_url_takes_nothing_from_the_folder_of_another(tmp_path, monkeypatch):
    folder = tmp_path / ".muniment"
    folder.mkdir()
    (folder / "config.toml").write_text('ledger = "sqlite:///ledger.db"\nactor = "p-mine"\n')
    monkeypatch.chdir(tmp_path)
    other = load_settings("sqlite:////elsewhere/ledger.db")
    assert (other.folder, other.actor) == (None, None)
    for same in (f"sqlite:///{folder / 'ledger.db'}", f"sqlite:///{folder / 'ledger.db'}?mode=ro"):
        assert load_settings(same).folder == folder
        assert load_settings(same).actor == "p-mine"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('ledger = "old"\n', 'ledger = "new"\n'),
        (
            '# ours\nactor = "p-a"\n  ledger="old" # here\nkeys = "k"\n',
            '# ours\nactor = "p-a"\nledger = "new"\nkeys = "k"\n',
        ),
        ('actor = "p-a"\n', 'actor = "p-a"\nledger = "new"\n'),
        ("", 'ledger = "new"\n'),
    ],
)
def test_one_setting_is_replaced_and_the_rest_stays_as_it_is_written(tmp_path, before, after):
    (tmp_path / "config.toml").write_text(before)
    assert replace_setting(tmp_path, "ledger", "new").decode() == after


@pytest.mark.parametrize("text", ['ledger = """\nold"""\n', 'actor = """\nledger = 1"""\n', 'actor = "p-a"'])
def test_a_setting_written_over_several_lines_is_left_to_people(tmp_path, text):
    (tmp_path / "config.toml").write_text(text)
    with pytest.raises(ConfigurationError, match="cannot be changed line by line") as caught:
        replace_setting(tmp_path, "ledger", "new")
    assert 'ledger = "new"' in caught.value.hint
    assert (tmp_path / "config.toml").read_text() == text
