"""Keys are never shown, and what is signed with them is what Bybit expects."""

import hashlib
import hmac

from engine.bybit.sign import ApiKey, login

KEY = ApiKey("Kb7Yq1secretKey", "s3cr3t0fMine")


def test_a_key_is_not_shown():
    assert "Kb7Y" not in repr(KEY)
    assert "s3cr" not in f"{KEY}"


def test_a_text_that_repeats_the_key_is_cleaned_of_it():
    text = KEY.redact("error sign! origin_string[1700Kb7Yq1secretKey5000s3cr3t0fMine]")

    assert text == "error sign! origin_string[1700[redacted]5000[redacted]]"


def test_an_empty_key_cleans_nothing():
    assert ApiKey("", "").redact("abc") == "abc"


def test_a_login_is_signed_anew_for_ten_seconds_from_bybits_time():
    times = iter([1_700_000_000_000, 1_700_000_060_000])
    frame = login(KEY, lambda: next(times))

    first, second = frame(), frame()

    for made, expires in ((first, 1_700_000_010_000), (second, 1_700_000_070_000)):
        signature = hmac.new(
            b"s3cr3t0fMine", f"GET/realtime{expires}".encode(), hashlib.sha256
        ).hexdigest()
        assert (made["op"], made["args"]) == ("auth", [KEY.key, expires, signature])
