from __future__ import annotations

import pytest

from ui.samples import SAMPLES, Sample, sample_path, sample_request_id


def test_every_sample_is_there_and_has_a_request_of_its_own() -> None:
    paths = [sample_path(sample) for sample in SAMPLES]
    assert len({sample_request_id(path) for path in paths}) == len(SAMPLES)
    assert all(sample_request_id(path) == sample_request_id(path) for path in paths)


def test_a_sample_that_was_not_installed_is_a_sentence() -> None:
    with pytest.raises(FileNotFoundError, match="was not installed"):
        sample_path(Sample("nothing.csv", "Nothing", ""))
