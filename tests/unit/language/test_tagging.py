"""Words and their tags, whatever stands for a caption."""

import time

from captiongen.language.tagging import english_tagger


def test_what_is_no_word_is_taken_for_a_noun():
    """A pasted address or encoded data costs no more than a word, and the words around it are read as ever."""
    started = time.process_time()
    words = english_tagger()(f"a dog chases {'a' * 50_000} quickly")
    assert time.process_time() - started < 20
    assert [word.tag[:2] for word in words] == ["AT", "NN", "VV", "NN", "AV"]
    assert words[3].lemma == words[3].word == "a" * 50_000


def test_a_caption_of_a_hundred_thousand_words_is_read_to_its_end():
    """Every word has its place, and those after the first five hundred are nouns."""
    words = english_tagger()("dog runs " * 50_000)
    assert len(words) == 100_000
    assert words[-1].tag == "NN1"
