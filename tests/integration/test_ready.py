"""A command that forks from a process that has read the package ends as one from nothing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import conftest, ready
from tests.site import Site


def _from_nothing(arguments: list[str], env: dict[str, str]) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "insights", *arguments],
        check=False,
        capture_output=True,
        text=True,
        env=env,
    )
    return done.returncode, done.stdout, done.stderr


def test_a_command_says_and_returns_what_it_does_from_nothing(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    for words in (["sink", "ddl", "legacy"], ["migrate"], ["no-such-command"], ["try", "none"]):
        arguments = ["-c", str(site.config), *words]
        expected = _from_nothing(arguments, site.env())
        with monkeypatch.context() as only:
            only.setattr(subprocess, "run", None)
            done = ready.run(arguments, site.env(), 60)
        assert (done.returncode, done.stdout, done.stderr) == expected


def test_a_command_has_its_own_variables_and_leaves_none_to_the_next(site: Site) -> None:
    env = site.env()
    del env["INSIGHTS_CREDENTIAL_HASH_KEY"]
    arguments = ["-c", str(site.config), "run", "--once", "--json"]
    without = ready.run(arguments, env, 60)
    assert without.returncode != 0
    assert "hash_key" in without.stderr
    assert ready.run(arguments, site.env(), 60).returncode == 0
    assert ready.run(arguments, env, 60).returncode == without.returncode


def test_a_command_has_no_variable_of_the_process_that_it_forks_from(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = site.env()
    stale = env.pop("INSIGHTS_CREDENTIAL_HASH_KEY")
    theirs = {**ready._ENVIRONMENT, "INSIGHTS_CREDENTIAL_HASH_KEY": stale}
    monkeypatch.setattr(ready, "_ENVIRONMENT", theirs)
    command = [sys.executable, "-m", "insights", "-c", str(site.config), "run", "--once"]
    code, _, err = ready._Waiting().run(command, env, 60)
    assert code != 0
    assert "hash_key" in err


def test_a_command_that_does_not_end_in_time_is_killed(site: Site) -> None:
    arguments = ["-c", str(site.config), "status", "--watch"]
    with pytest.raises(subprocess.TimeoutExpired):
        ready.run(arguments, site.env(), 3)
    assert ready.run(["--version"], dict(os.environ), 60).returncode == 0


def test_what_is_seen_while_modules_are_read_is_read_anew() -> None:
    assert ready._as_read({**os.environ, "INSIGHTS_STREAM__TICKET__WHERE": "1 = 1"})
    assert not ready._as_read({**os.environ, "TZ": "Asia/Tokyo"})


def test_what_a_test_before_left_in_the_environment_is_gone() -> None:
    before = dict(os.environ)
    run = conftest.pytest_runtest_protocol()
    next(run)
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = "/compiled"
    del os.environ["PATH"]
    next(run, None)
    assert dict(os.environ) == before
    assert ready._as_read(dict(os.environ))


def test_another_folder_is_read_from_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert not ready._as_read(dict(os.environ))
