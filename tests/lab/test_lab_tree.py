"""Completions as a tree: every one has its place, and rewards see all but the last word of those that are cut."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from klimit.errors import InputError
from klimit.lab.tree import Tree, as_views

TREE = Tree(3, 4)


def completions():
    """Word sequences in the order that the tree is documented to have."""
    for length in range(5):
        yield from itertools.product(range(3), repeat=length)


def test_a_world_of_ten_words_and_five_places_has_111111_completions():
    assert Tree(10, 5).n_leaves == 111_111
    assert Tree(10, 5).n_views == 21_111


def test_every_completion_has_a_leaf_of_its_own_in_the_order_documented():
    assert [TREE.leaf(words) for words in completions()] == list(range(TREE.n_leaves))


def test_prefixes_are_in_the_order_of_leaves():
    for depth in range(4):
        assert TREE.prefixes(depth).tolist() == [list(w) for w in itertools.product(range(3), repeat=depth)]


def test_a_view_is_a_completion_that_ends_or_all_but_the_last_word_of_one_that_is_cut():
    words, ended = TREE.views
    for said in completions():
        view = TREE.view(said)
        assert [word for word in words[view] if word >= 0] == list(said[:3])
        assert ended[view] == (len(said) < 4)


def test_views_of_sequences_are_those_of_the_tree():
    given = list(completions())
    words, ended = as_views(given, 4)
    known_words, known_ended = TREE.views
    rows = [TREE.view(said) for said in given]
    np.testing.assert_array_equal(words, known_words[rows])
    np.testing.assert_array_equal(ended, known_ended[rows])


def test_probabilities_of_views_are_sums_over_their_leaves():
    law = np.random.default_rng(0).dirichlet(np.ones(TREE.n_leaves), size=2)
    summed = [np.bincount(TREE.view_of_leaf, weights=row, minlength=TREE.n_views) for row in law]
    np.testing.assert_allclose(TREE.by_view(law), summed, rtol=1e-14)


@pytest.mark.parametrize("words", [(0, 1, 2, 0, 1), (3,), (-1,)])
def test_what_is_no_completion_is_refused(words):
    with pytest.raises(InputError, match="at most 4 words"):
        TREE.leaf(words)
