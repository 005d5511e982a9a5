"""Are the intervals and tests those of the textbooks?"""

from __future__ import annotations

import numpy as np
import pytest

from trainer.evaluation.statistics import Comparison, compare, wilson_interval


@pytest.mark.parametrize(("successes", "total"), [(0, 10), (1, 10), (5, 10), (10, 10), (9949, 10_000), (1, 1)])
def test_the_interval_is_wilsons(successes, total):
    stats = pytest.importorskip("scipy.stats")
    expected = stats.binomtest(successes, total).proportion_ci(0.95, method="wilson")
    assert wilson_interval(successes, total) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_nothing_is_known_of_no_images():
    assert wilson_interval(0, 0) == (0.0, 1.0)


def test_the_interval_holds_the_truth_as_often_as_it_says():
    random, truth = np.random.default_rng(0), 0.99
    intervals = [wilson_interval(int(hits), 1000) for hits in random.binomial(1000, truth, 4000)]
    share = np.mean([low <= truth <= high for low, high in intervals])
    assert 0.93 <= share <= 0.975


@pytest.mark.parametrize(("gained", "lost"), [(0, 1), (5, 5), (3, 12), (40, 20), (600, 700)])
def test_the_comparison_is_mcnemars_exact_test(gained, lost):
    stats = pytest.importorskip("scipy.stats")
    expected = stats.binomtest(gained, gained + lost).pvalue
    assert Comparison(10_000, gained, lost).p == pytest.approx(expected)
    assert Comparison(10_000, lost, gained).p == pytest.approx(expected)


def test_images_are_compared_one_by_one():
    now, before = np.array([1, 1, 1, 0, 0, 1], bool), np.array([1, 0, 0, 1, 0, 1], bool)
    assert compare(now, before) == Comparison(images=6, newly_right=2, newly_wrong=1)
    assert compare(now, before).points == pytest.approx(100 / 6)


def test_a_sentence_claims_no_more_than_the_numbers_do():
    assert "may be due to chance" in Comparison(10_000, 25, 20).sentence("b")
    assert "this model is significantly better" in Comparison(10_000, 40, 10).sentence("b")
    assert "this model is significantly worse" in Comparison(10_000, 10, 40).sentence("b")
    said = Comparison(10_000, 30, 21).sentence("runs/b")
    assert said.startswith("30 newly right, 21 newly wrong compared with runs/b: +0.09 points, p = 0.26")
    assert Comparison(10_000, 0, 0).sentence("b") == "both models are right on the same of the 10,000 images"
    assert Comparison(10_000, 0, 0).p == 1.0
