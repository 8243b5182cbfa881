from __future__ import annotations

from kmeans.v1 import job_pb2

from ui.estimates import tasks_sentence, time_sentence


def test_the_tasks_are_explained_as_the_product_they_are() -> None:
    spec = job_pb2.JobSpec(max_k=8, n_experiments=1, n_init=5, covariances=[1, 2])
    assert tasks_sentence(spec, 16) == (
        "16 tasks: K from 1 to 8, 1 experiment, 2 covariance models; each the best of 5 starts."
    )


def test_the_time_is_of_one_core_and_called_an_estimate() -> None:
    sentence = time_sentence(400)
    assert "6 min 40 s" in sentence
    assert "one core" in sentence
    assert "1 min 40 s" in sentence
    assert "estimate" in sentence
    assert "second" in time_sentence(0.01)
