"""What tests of forms share."""

from collections.abc import Iterator
from unittest.mock import patch

import pytest

from .gateway_helpers import gateways_that_only_hold_units


@pytest.fixture
def port(unused_tcp_port: int) -> int:
    """A port that nobody listens on."""
    return unused_tcp_port


@pytest.fixture
def bare_gateways(port: int) -> Iterator[None]:
    """Set up gateways without their listeners, and suggest a port that is free here."""
    suggested = "custom_components.local_solar.flows.gateway_listeners"
    with (
        patch(f"{suggested}.DEFAULT_GATEWAY_PORT", port),
        gateways_that_only_hold_units(),
    ):
        yield
