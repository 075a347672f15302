"""English words that carry grammar, not content: what a caption may say of any picture without being wrong."""

_ARTICLES_AND_PRONOUNS = """
    a an the this that these those some another other each one it its he his him she her they their them
    who whom whose which what where when there here
"""
_CONJUNCTIONS_AND_PREPOSITIONS = """
    and or but while as so than of in on at to with by from for into onto over under near off up down out through around
    along across behind beside between above below before after against towards
"""
_VERBS_AND_ADVERBS = """
    is are am be being been was were has have having had do does did can not no very just also too
"""

FUNCTION_WORDS = frozenset(f"{_ARTICLES_AND_PRONOUNS} {_CONJUNCTIONS_AND_PREPOSITIONS} {_VERBS_AND_ADVERBS}".split())
