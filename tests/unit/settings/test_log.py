"""What is logged of kopf's own errors: that a watch was refused, in one line."""

import logging

import pytest
from kopf._cogs.clients.errors import APINotFoundError

from controller.log import shorten


def record(error: Exception) -> logging.LogRecord:
    told = (type(error), error, None)
    return logging.LogRecord("kopf", logging.ERROR, "", 1, "%s has failed", ("Orchestrator",), told)


@pytest.mark.parametrize("error", [ValueError("ours"), KeyError("kopf's own")])
def test_a_fault_in_the_code_keeps_its_traceback(error: Exception) -> None:
    found = record(error)
    assert shorten(found)
    assert found.exc_info


def test_a_refusal_of_the_api_server_is_one_line() -> None:
    refused = APINotFoundError("not found", status=404, headers={})
    found = record(refused)
    assert shorten(found)
    text = logging.Formatter("%(message)s").format(found)
    assert text.startswith("Orchestrator has failed APINotFoundError: ")
    assert "\n" not in text
