"""What every `Bus` promises, in one class. An implementation passes it with a subclass that says how to `start_bus`."""

from tests.conformance.bus_delivery import BusDeliverySuite
from tests.conformance.bus_past import BusPastSuite
from tests.conformance.bus_pressure import BusPressureSuite


class BusSuite(BusDeliverySuite, BusPastSuite, BusPressureSuite):
    """The whole contract. The class has no `Test` in its name, so that only its subclasses run."""
