"""Several answers per item become one label."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrue.core.consensus import (
    consensus,
    crowdlab,
    dawid_skene,
    majority,
    numeric_consensus,
)


def rng(seed=0):
    return np.random.default_rng(seed)


def crowd(*, n_tasks, skills, per_task, seed=0, n_classes=2, share=0.5):
    """Answers of workers with known skill; returns task, worker, label, truth."""
    chance = rng(seed)
    rare = np.r_[1 - share, np.full(n_classes - 1, share / (n_classes - 1))]
    truth = chance.choice(n_classes, size=n_tasks, p=rare)
    task = np.repeat(np.arange(n_tasks), per_task)
    keys = chance.random((n_tasks, len(skills)))
    worker = np.argsort(keys, axis=1)[:, :per_task].ravel()
    wrong = (truth[task] + chance.integers(1, n_classes, size=len(task))) % n_classes
    right = chance.random(len(task)) < np.asarray(skills)[worker]
    return task, worker, np.where(right, truth[task], wrong), truth


answers = st.integers(1, 6).flatmap(
    lambda n: st.lists(
        st.tuples(st.integers(0, n - 1), st.integers(0, 3), st.integers(0, 2)),
        min_size=1,
        max_size=25,
    ).map(lambda rows: (n, *np.array(rows, dtype=np.int64).T))
)


def test_the_majority_wins_and_nobody_is_nobody():
    task, label = np.array([0, 0, 0, 2]), np.array([1, 1, 0, 0])

    found = majority(task, np.arange(4), label, n_tasks=3, n_classes=2, rng=rng())

    assert found.label.tolist() == [1, -1, 0]
    assert found.posterior.round(3).tolist() == [[0.333, 0.667], [0, 0], [1, 0]]
    assert found.method.tolist() == ["majority", "", "majority"]


def test_ties_are_broken_by_chance_and_the_same_way_again():
    task, worker = np.repeat(np.arange(2000), 2), np.tile([0, 1], 2000)
    label = np.tile([0, 1], 2000)

    first, again = (
        majority(task, worker, label, n_tasks=2000, n_classes=2, rng=rng(3)) for _ in range(2)
    )

    assert first.label.tolist() == again.label.tolist()
    assert 900 < first.label.sum() < 1100


def test_one_round_of_plain_dawid_skene_is_what_the_paper_computes_by_hand():
    # Two tasks, workers say (0, 0, 1) and (1, 1, 1). Shares: (2/3, 1/3) and (0, 1), so the prior
    # is (1/3, 2/3). Workers 0 and 1: P(0|0) = 1, P(0|1) = 1/4. Worker 2: P(1|0) = P(1|1) = 1.
    # Task 0: 1/3 * 1 * 1 * 1 against 2/3 * 1/4 * 1/4 * 1, that is 8 : 1.
    task, worker = np.array([0, 0, 0, 1, 1, 1]), np.array([0, 1, 2] * 2)
    label = np.array([0, 0, 1, 1, 1, 1])

    found = dawid_skene(
        task,
        worker,
        label,
        n_tasks=2,
        n_workers=3,
        n_classes=2,
        confusion_answers=0,
        skill_answers=0,
        rounds=1,
    )

    assert found.class_prior == pytest.approx([1 / 3, 2 / 3])
    assert found.confusion[0, 1] == pytest.approx([0.25, 0.75])
    assert found.posterior[0] == pytest.approx([8 / 9, 1 / 9])


def test_a_worker_who_is_always_wrong_is_turned_round():
    task, worker, label, truth = crowd(n_tasks=200, skills=[0.9, 0.9, 0.9, 0.05], per_task=4)

    found = dawid_skene(task, worker, label, n_tasks=200, n_workers=4, n_classes=2)

    assert found.confusion[3, 0, 1] > 0.8
    assert (found.posterior.argmax(axis=1) == truth).mean() > 0.95


def test_few_answers_per_worker_do_not_collapse_as_the_plain_method_does():
    def accuracy(seed, **strength):
        skills = np.linspace(0.6, 0.95, 60)
        *data, truth = crowd(n_tasks=100, skills=skills, per_task=3, seed=seed, n_classes=4)
        found = dawid_skene(*data, n_tasks=100, n_workers=60, n_classes=4, **strength)
        return (found.posterior.argmax(axis=1) == truth).mean()

    ours = np.mean([accuracy(seed) for seed in range(10)])
    plain = np.mean([accuracy(seed, confusion_answers=0, skill_answers=0) for seed in range(10)])

    assert ours > plain + 0.02


def test_members_of_a_rare_class_are_not_invented():
    task, worker, label, truth = crowd(
        n_tasks=1000, skills=np.linspace(0.6, 0.98, 40), per_task=5, share=0.03
    )

    found = dawid_skene(task, worker, label, n_tasks=1000, n_workers=40, n_classes=2)

    assert (found.posterior.argmax(axis=1) == truth).mean() > 0.95


@settings(max_examples=60)
@given(answers)
def test_posteriors_and_confusions_are_probabilities_whatever_the_answers(data):
    n_tasks, task, worker, label = data

    found = dawid_skene(task, worker, label, n_tasks=n_tasks, n_workers=4, n_classes=3)

    assert np.allclose(found.posterior.sum(axis=1), 1)
    assert np.allclose(found.confusion.sum(axis=2), 1)
    assert found.class_prior.sum() == pytest.approx(1)


@settings(max_examples=60)
@given(answers, st.randoms(use_true_random=False))
def test_the_order_of_answers_does_not_matter(data, shuffler):
    n_tasks, task, worker, label = data
    order = list(range(len(task)))
    shuffler.shuffle(order)

    sizes = {"n_tasks": n_tasks, "n_workers": 4, "n_classes": 3}
    one = dawid_skene(task, worker, label, rounds=5, **sizes)
    other = dawid_skene(task[order], worker[order], label[order], rounds=5, **sizes)

    assert np.allclose(one.posterior, other.posterior, atol=1e-9)


def test_crowdlab_weighs_people_and_model_as_the_paper_does():
    # All six tasks answered alike by two workers who always agree, and by the model: everybody
    # is perfect, so w_worker = 1 and w_model = sqrt(2), and the posterior is their mean.
    task, worker = np.repeat(np.arange(6), 2), np.tile([0, 1], 6)
    truth = np.array([0, 1, 0, 1, 0, 1])
    probabilities = np.where(truth[:, None] == [0, 1], 0.7, 0.3)

    found = crowdlab(
        task,
        worker,
        truth[task],
        n_tasks=6,
        n_workers=2,
        probabilities=probabilities,
        rng=rng(),
    )

    model = np.sqrt(2)
    assert found.posterior[0, 0] == pytest.approx((model * 0.7 + 2) / (model + 2))


def test_a_useful_model_mends_sparse_answers_and_a_useless_one_does_no_harm():
    task, worker, label, truth = crowd(n_tasks=600, skills=[0.75] * 10, per_task=2)
    said = np.where(rng(5).random(600) < 0.9, truth, 1 - truth)
    useful = np.where(said[:, None] == [0, 1], 0.9, 0.1)
    useless = rng(6).dirichlet([1, 1], size=600)

    def accuracy(probabilities):
        found = crowdlab(
            task, worker, label, n_tasks=600, n_workers=10, probabilities=probabilities, rng=rng()
        )
        return (found.label == truth).mean()

    alone = majority(task, worker, label, n_tasks=600, n_classes=2, rng=rng())
    assert accuracy(useful) > 0.85
    assert accuracy(useless) > (alone.label == truth).mean() - 0.03


def test_a_careless_worker_weighs_less_in_crowdlab():
    task, worker, label, truth = crowd(n_tasks=900, skills=[0.95, 0.95, 0.55], per_task=2)
    undecided = np.full((901, 2), 0.5)

    found = crowdlab(
        task, worker, label, n_tasks=901, n_workers=3, probabilities=undecided, rng=rng()
    )

    # Where the careless one stands against a good one, the good one is followed.
    first, second = label.reshape(-1, 2).T
    against = (first != second) & (worker.reshape(-1, 2) == 2).any(axis=1)
    assert (found.label[:900] == truth)[against].mean() > 0.85
    assert found.label[900] == -1


def test_crowdlab_needs_some_task_that_two_people_answered():
    with pytest.raises(ValueError, match="two answers"):
        crowdlab(
            np.array([0]),
            np.array([0]),
            np.array([0]),
            n_tasks=1,
            n_workers=1,
            probabilities=np.array([[0.5, 0.5]]),
            rng=rng(),
        )


@pytest.mark.parametrize(
    ("per_task", "n_workers", "model", "method"),
    [
        (2, 10, True, "crowdlab"),
        (2, 10, False, "majority"),
        (4, 10, False, "dawid-skene"),
        (4, 10, True, "dawid-skene"),
        (4, 100, False, "majority"),
        (1, 10, True, "majority"),
    ],
)
def test_redundancy_chooses_the_method(per_task, n_workers, model, method):
    *data, _ = crowd(n_tasks=100, skills=[0.9] * n_workers, per_task=per_task)

    found = consensus(
        *data,
        n_tasks=100,
        n_classes=2,
        probabilities=np.full((100, 2), 0.5) if model else None,
        people_only=np.zeros(100, dtype=bool),
        rng=rng(),
    )

    assert set(found.method.tolist()) == {method}


def test_tasks_for_people_only_never_see_the_model():
    task, worker, label, _ = crowd(n_tasks=200, skills=[0.8] * 10, per_task=2)
    people_only = np.arange(200) % 2 == 0

    def found(probabilities):
        return consensus(
            task,
            worker,
            label,
            n_tasks=200,
            n_classes=2,
            probabilities=probabilities,
            people_only=people_only,
            rng=rng(),
        )

    one, other, none = found(np.tile([0.99, 0.01], (200, 1))), found(rng(1).random((200, 2))), None
    none = found(none)

    assert one.posterior[people_only].tolist() == none.posterior[people_only].tolist()
    assert one.label[people_only].tolist() == other.label[people_only].tolist()
    assert set(one.method[people_only].tolist()) == {"majority"}
    assert one.posterior[~people_only].tolist() != other.posterior[~people_only].tolist()


def test_a_model_gives_no_label_where_nobody_answered():
    task, worker, label, _ = crowd(n_tasks=100, skills=[0.8] * 10, per_task=2)

    found = consensus(
        task,
        worker,
        label,
        n_tasks=101,
        n_classes=2,
        probabilities=np.full((101, 2), 0.5),
        people_only=np.zeros(101, dtype=bool),
        rng=rng(),
    )

    assert found.label[100] == -1
    assert found.posterior[100].tolist() == [0, 0]
    assert found.method[100] == ""


def test_the_median_is_not_moved_by_one_wild_answer():
    task = np.array([0, 0, 0, 1, 1, 3])
    value = np.array([2.0, 2.1, 900.0, 1.0, 3.0, 5.0])

    found = numeric_consensus(task, value, n_tasks=4, tolerance=0.1)

    assert found.value[[0, 1, 3]].tolist() == [2.1, 2.0, 5.0]
    assert np.isnan(found.value[2])
    assert found.confidence.round(3).tolist() == [0.667, 0.0, 0.0, 1.0]


@given(st.lists(st.tuples(st.integers(0, 3), st.floats(-1e300, 1e300)), min_size=1, max_size=20))
def test_numeric_consensus_is_the_median_of_each_task(rows):
    task, value = np.array([t for t, _ in rows]), np.array([v for _, v in rows])

    found = numeric_consensus(task, value, n_tasks=4, tolerance=0.0)

    for t in np.unique(task):
        ours = sorted(value[task == t])
        low, high = ours[(len(ours) - 1) // 2], ours[len(ours) // 2]
        assert found.value[t] == pytest.approx(low / 2 + high / 2)
        assert 0 <= found.confidence[t] <= 1


@pytest.mark.parametrize(
    ("task", "label", "message"),
    [
        ([0, 5], [0, 0], "task: expected 0..1"),
        ([0, 1], [0, -1], "label: expected 0..1"),
        ([0], [0, 1], "one length"),
    ],
)
def test_answers_out_of_range_are_refused(task, label, message):
    with pytest.raises(ValueError, match=message):
        majority(
            np.array(task),
            np.zeros(len(task), dtype=int),
            np.array(label),
            n_tasks=2,
            n_classes=2,
            rng=rng(),
        )
