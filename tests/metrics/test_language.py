"""Naive Bayes against scikit-learn's on the same counts, and what it refuses."""

import numpy as np
import pytest

from genjax.metrics.language import naive_bayes

TEXTS = [b"the cat", b"a dog here", "el niño".encode(), b"la casa y el", "قطة".encode(), b"the"]
LABELS = np.array([0, 0, 1, 1, 2, 0])
NEW = [b"the house", b"el", "قط".encode(), b"zzz", b""]


def test_naive_bayes_is_that_of_scikit_learn():
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.naive_bayes import MultinomialNB

    def letters(texts):
        return [f"\0{text.decode('latin-1')}\0" for text in texts]

    counts = CountVectorizer(analyzer="char", ngram_range=(1, 3), lowercase=False)
    model = MultinomialNB().fit(counts.fit_transform(letters(TEXTS)), LABELS)
    expected = model.predict_joint_log_proba(counts.transform(letters(NEW)))
    ours = naive_bayes(TEXTS, LABELS, 3)
    np.testing.assert_allclose([ours.scores(text) for text in NEW], expected, atol=1e-9)
    # nothing known in a text: the most frequent class
    assert ours.read(NEW).tolist() == [0, 1, 2, 0, 0]


def test_a_class_without_texts_is_told():
    with pytest.raises(ValueError, match="class 3 of 4 has no text"):
        naive_bayes(TEXTS, LABELS, 4)
