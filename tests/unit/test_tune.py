"""What `insights tune` chooses from what it measured, and for whom it is kept."""

from pathlib import Path

import msgspec

from insights import errors
from insights.cli.tune import _best, _try_all
from insights.inference import tuning
from insights.inference.messages import Speeds, Trial
from insights.inference.tuner import worth_a_pass

HERE = tuning.Subject(sha256="ab" * 32, machine="EPYC, 2 cores", llama="0.3.36 cpu")


def speeds(parallel: int, decode: float, threads: int = 2) -> Speeds:
    return Speeds(
        threads=threads,
        parallel=parallel,
        micro_batch=512,
        kv_type="f16",
        prompt=250.0,
        decode=decode,
    )


def test_more_rows_at_once_are_chosen_only_while_clearly_faster() -> None:
    tried = [speeds(8, 110), speeds(1, 70), speeds(4, 95), speeds(16, 160), speeds(32, 165)]
    assert _best(tried).parallel == 16


def test_the_better_threads_win_at_the_same_rows() -> None:
    assert _best([speeds(8, 90, threads=2), speeds(8, 120, threads=1)]).threads == 1


def fake(trial: Trial, *, q8_0: float, plain: float = 0.9) -> Speeds:
    """Four cores of which three are best; rows pay up to 16 and do not fit above 32."""
    assert not (trial.kv_type == "q8_0" and trial.flash is False)  # it has no other kernels
    if trial.parallel > 32:
        raise errors.ModelError("does not fit")
    threads = trial.threads or 4
    gain = {1: 1.0, 2: 1.8, 3: 2.5, 4: 2.2}[threads] * (q8_0 if trial.kv_type == "q8_0" else 1.0)
    gain *= plain if trial.flash is False else 1.0
    return Speeds(
        threads=threads,
        parallel=trial.parallel,
        micro_batch=trial.micro_batch or 512,
        kv_type=trial.kv_type or "f16",
        prompt=100 * gain,
        decode=10 * gain * min(trial.parallel, 16),
        flash=trial.flash,
    )


def test_threads_rows_and_cache_are_chosen_one_after_another() -> None:
    _, best = _try_all(lambda trial: fake(trial, q8_0=1.5))
    assert (best.threads, best.parallel, best.micro_batch, best.kv_type) == (3, 16, 512, "q8_0")


def test_another_cache_must_be_clearly_faster() -> None:
    tried, best = _try_all(lambda trial: fake(trial, q8_0=1.02))
    assert best.kv_type == "f16"
    assert any(found.kv_type == "q8_0" for found in tried)


def test_flash_attention_goes_where_rows_are_faster_without() -> None:
    tried, best = _try_all(lambda trial: fake(trial, q8_0=1.0, plain=1.5))
    assert (best.flash, best.parallel, best.kv_type) == (False, 16, "f16")
    assert all(
        found.flash is False for found in tried if found.parallel == 16 and found.kv_type == "f16"
    )
    assert _try_all(lambda trial: fake(trial, q8_0=1.0, plain=1.02))[1].flash is True


def test_a_run_of_forced_tokens_is_worth_a_pass_from_where_it_costs_less_than_going_along() -> None:
    # An AMD EPYC and an Intel Xeon with AMX, milliseconds of docs/inference.md.
    assert worth_a_pass({3: 33.0, 7: 50.0, 15: 78.0, 31: 140.0}, 125 / 16) == 8
    assert worth_a_pass({3: 79.0, 7: 80.0, 15: 111.0, 31: 207.0}, 194 / 16) == 8
    assert worth_a_pass({3: 1.0, 7: 2.0}, 0.5) == 4
    assert worth_a_pass({3: 9.0, 7: 20.0}, 1.0) == 15  # seldom: no run that was tried is worth it


def test_what_was_measured_is_found_only_for_the_same_file_machine_and_build(
    tmp_path: Path,
) -> None:
    assert tuning.find(tmp_path, HERE) is None
    kept = tuning.store(tmp_path / "tuned", tuning.Tuned(HERE, speeds(8, 110)))
    assert tuning.find(kept.parent, HERE) == speeds(8, 110)
    for change in ({"machine": "EPYC, 4 cores"}, {"llama": "0.4 cpu"}, {"sha256": "ab" * 31}):
        assert tuning.find(kept.parent, msgspec.structs.replace(HERE, **change)) is None
    kept.write_text("{")
    assert tuning.find(kept.parent, HERE) is None
