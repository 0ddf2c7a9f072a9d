"""The advice about costs names a setting that is not set already."""

from keras_saliency.data.costs import Costs


def test_what_makes_it_less_is_not_what_is_set_already():
    maps, log = Costs(9.0, maps=2.0), Costs(9.0, log=2.0)
    assert maps.less_with(saliency_freq=1, has_pictures=True) == "saliency_freq=2"
    assert maps.less_with(saliency_freq=2, has_pictures=True) == "saliency_freq=4"
    assert log.less_with(saliency_freq=1, has_pictures=True) == "pictures=None"
    assert log.less_with(saliency_freq=1, has_pictures=False) == "saliency_freq=2"
    tests = Costs(9.0, maps=1.0, tests=2.0)
    assert tests.less_with(saliency_freq=1, has_pictures=False) == "interventions=None"
