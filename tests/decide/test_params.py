"""The parameters of a call: made when somebody looks, and what counters ask is known before."""

from unittest.mock import patch

from hypothesis import given

from storehop.decide import s2s
from storehop.decide.decision import decide
from storehop.decide.params import Params, shape_of
from storehop.model import Param, Pass, Source
from tests.decide.test_decision import CLICKS, LAW_RULES
from tests.support.clicks import ANDROID_LINK, IOS_LINK, IPHONE, REDUCED, click, rule_set

MADE = (Param("pid", "x", Source.LINK), Param("af_model", None, Source.OMITTED, "unknown"))


def test_they_are_made_once_and_only_when_somebody_looks():
    """Nothing is made of a click that nobody looks at."""
    made = []

    def make():
        made.append(MADE)
        return MADE

    params = Params(make, ())

    assert not made
    assert [*MADE] == list(params)
    assert (MADE, 2, MADE[1], repr(MADE)) == (params, len(params), params[-1], repr(params))
    assert {Params(make, ()): "equal"} == {params: "equal"}
    assert [MADE, MADE] == made  # one for each of the two


def test_the_shape_is_that_of_the_parameters():
    """What counters are told before parameters are made is true of those that are made."""
    clicks = [
        click(ANDROID_LINK),
        click(ANDROID_LINK, {"Accept-Language": "de"}, peer="10.0.0.1"),
        click(IOS_LINK, user_agent=IPHONE, peer=""),
        click(ANDROID_LINK, {"Sec-CH-UA-Model": '"Pixel 8"'}, user_agent=REDUCED),
        click(f"{ANDROID_LINK}&oaid=a1b2c3d4e5f6&advertising_id=38400000-8cf0-11bd-b23e-10b96e40000d"),
        click(f"{ANDROID_LINK}&idfa=&advertising_id=38400000-8cf0-11bd-b23e-10b96e40000d&af_lang=&af_ip={{ip}}"),
    ]
    for one in clicks:
        params = decide(one, rule_set()).params

        assert shape_of(tuple(params)) == shape_of(params)
        assert {name for name, _, _ in shape_of(params)} <= {param.name for param in params}


@given(CLICKS)
def test_a_call_that_is_joined_is_the_one_that_is_built(found_click):
    """A link that stays as it is gets the same call as one that is looked through parameter by parameter."""
    joined = decide(found_click, LAW_RULES)
    with patch.object(s2s, "_ids_of_whole", return_value=None):
        built = decide(found_click, LAW_RULES)

    assert built == joined
    assert isinstance(built, Pass) or shape_of(built.params) == shape_of(joined.params)
