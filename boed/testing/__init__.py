"""Checks of a part of your own: all that the rest of the package, and its results, rely on.

`check_sensor(mine)` and its like run every property of a kind and raise one AssertionError that
lists what does not hold; `sensor_checks(mine)` and its like give the properties one by one, for
`pytest.mark.parametrize`. The parts of this package go through the same lists.
"""

from boed.testing.classifiers import check_classifier, classifier_checks
from boed.testing.completers import check_completer, completer_checks
from boed.testing.estimators import check_estimator, estimator_checks
from boed.testing.policies import check_policy, policy_checks
from boed.testing.properties import Check
from boed.testing.sensors import check_sensor, sensor_checks

__all__ = [
    "Check",
    "check_classifier",
    "check_completer",
    "check_estimator",
    "check_policy",
    "check_sensor",
    "classifier_checks",
    "completer_checks",
    "estimator_checks",
    "policy_checks",
    "sensor_checks",
]
