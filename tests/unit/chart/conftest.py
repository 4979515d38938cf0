"""The chart with its default values, and with all that can be switched on."""

import pytest

from tests.chart.rendered import FULL, Rendered, render


@pytest.fixture(scope="module")
def chart() -> Rendered:
    return render()


@pytest.fixture(scope="module")
def full() -> Rendered:
    return render(FULL)
