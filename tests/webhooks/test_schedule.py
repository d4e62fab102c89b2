"""The schedule of attempts."""

from __future__ import annotations

import time
from email.utils import formatdate

import pytest

from chuk_sessions.events.webhooks import schedule


def test_ten_attempts_take_about_three_days():
    delays = [schedule.delay_ms(failures) for failures in range(1, 11)]
    assert delays[-1] is None
    assert 2.5 < sum(delays[:-1]) / 86_400_000 < 3.5


def test_delays_have_jitter_around_the_plan():
    for failures, planned in enumerate(schedule.DELAYS_MS, start=1):
        found = {schedule.delay_ms(failures) for _ in range(50)}
        assert len(found) > 5
        assert min(found) >= 0.9 * planned
        assert max(found) <= 1.1 * planned


def test_an_endpoint_may_ask_for_a_longer_delay_only():
    assert schedule.delay_ms(1, 600_000) == 600_000
    assert schedule.delay_ms(9, 1000) > 60_000_000
    assert schedule.delay_ms(1, 10**15) == schedule.LONGEST_RETRY_AFTER_MS
    assert schedule.delay_ms(10, 600_000) is None


@pytest.mark.parametrize("header", [None, "", "soon", "-1", "1.5", "\u0663", "Thu, 99 Nov 2026", "9" * 400 + "x"])
def test_other_headers_are_ignored(header):
    assert schedule.retry_after_ms(header) is None


def test_seconds_and_dates_are_understood():
    assert schedule.retry_after_ms("0") == 0
    assert schedule.retry_after_ms("90") == 90_000
    assert schedule.retry_after_ms("9" * 400) == schedule.LONGEST_RETRY_AFTER_MS
    assert 50_000 < schedule.retry_after_ms(formatdate(time.time() + 60, usegmt=True)) <= 61_000
    assert schedule.retry_after_ms(formatdate(0, usegmt=True)) == 0


@pytest.mark.parametrize("form", ["%a %b %e %H:%M:%S %Y", "%A, %d-%b-%y %H:%M:%S GMT", "%a, %d %b %Y %H:%M:%S -0000"])
def test_old_forms_of_dates_are_in_utc(form, monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        found = schedule.retry_after_ms(time.strftime(form, time.gmtime(time.time() + 600)))
    finally:
        monkeypatch.undo()
        time.tzset()
    assert 590_000 < found <= 601_000
