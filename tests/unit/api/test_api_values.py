"""Durations, quantities and times are read and written as Kubernetes has them."""

import contextlib
import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.api import meta
from controller.api.values import fit


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("0s", 0),
        ("90s", 90),
        ("45m", 2700),
        ("1h30m", 5400),
        ("1h0m5s", 3605),
        ("30m1h", 5400),
        ("99999h", 359996400),
    ],
)
def test_duration(text: str, seconds: int) -> None:
    assert meta.parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text", ["", "abc", "5", "-5m", "1.5h", "1h ", "1h\n", "100000h", "5d", "1h1h1h1h", "٣h"]
)
def test_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="expected a duration such as 90s, 45m or 1h30m, got"):
        meta.parse_duration(text)


@pytest.mark.parametrize(
    ("text", "nano"),
    [("500m", 500_000_000), ("2", 2_000_000_000), ("0.5", 500_000_000), ("1.025", 1_025_000_000)],
)
def test_cpu(text: str, nano: int) -> None:
    assert meta.parse_cpu(text) == nano


@pytest.mark.parametrize("text", ["", "m", "1k", "-1", ".5", "1.", "0.0001", "1\n", "two"])
def test_no_cpu(text: str) -> None:
    with pytest.raises(ValueError, match="expected CPUs such as 500m"):
        meta.parse_cpu(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1048576", 1048576),
        ("512Mi", 536870912),
        ("1.5Gi", 1610612736),
        ("1.5G", 1500000000),
        ("3k", 3000),
        ("3Ki", 3072),
        ("2Ti", 2 * 2**40),
        ("0.001", 1),
    ],
)
def test_memory(text: str, size: int) -> None:
    assert meta.parse_memory(text) == size


@pytest.mark.parametrize("text", ["", "Mi", "512MB", "512mi", "1K", "-1", "1e3", "5 Mi", "1Mi\n"])
def test_no_memory(text: str) -> None:
    with pytest.raises(ValueError, match="expected bytes such as 512Mi"):
        meta.parse_memory(text)


def test_rfc3339() -> None:
    moment = datetime(2026, 1, 31, 13, 0, 0, 999, tzinfo=timezone(timedelta(hours=1)))

    assert meta.rfc3339(moment) == "2026-01-31T12:00:00Z"
    with pytest.raises(ValueError, match="expected a datetime with a time zone"):
        meta.rfc3339(datetime(2026, 1, 31))


@settings(print_blob=True, deadline=None)
@given(st.text(max_size=20))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert meta.parse_duration(text) >= timedelta()
    for parse in (meta.parse_cpu, meta.parse_memory):
        with contextlib.suppress(ValueError):
            assert parse(text) >= 0


def test_longest_duration_can_be_added_to_a_date() -> None:
    assert datetime.now(UTC) + 3 * meta.parse_duration("99999h") > datetime.now(UTC)


def test_what_a_container_says_steers_no_terminal_and_is_yaml() -> None:
    said = "\x1b[2J\x00\x7f\x9b1m\ufffe\U0010ffff é\n\tdone\r"
    shown = "\\x1b[2J\\x00\\x7f\\x9b1m\\ufffe\U0010ffff é\n\tdone\\r"
    assert fit(said, 100) == shown
    assert yaml.safe_load(json.dumps(shown, ensure_ascii=False)) == shown
    assert fit("\x1b" * 10, 8) == "\\x1b\\x1…"
