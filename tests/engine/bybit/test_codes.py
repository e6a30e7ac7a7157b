"""Every documented error of Bybit's has a meaning, and each meaning its error of ours."""

import json
from dataclasses import dataclass

import pytest

from engine.bybit import codes
from engine.bybit.codes import STATUSES, Deed, Meaning
from engine.errors import ExchangeRefused, OutcomeUnknown, Unreachable

WRITES = [deed for deed in Deed if deed is not Deed.READ]
# By the page "Error Codes": zero is no error, and headings of tables were taken along.
NO_ERROR = 0


@pytest.fixture
def documented(shared):
    tables = json.loads((shared / "specs/bybit/errors.json").read_text())["tables"]
    return {
        title: [row["code"] for row in rows if isinstance(row["code"], int)]
        for title, rows in tables.items()
    }


def test_every_documented_code_is_in_the_table(documented):
    unknown = {
        (title, code)
        for title, listed in documented.items()
        if title != "HTTP Code"
        for code in listed
        if code != NO_ERROR and codes.known(code) is None
    }

    assert unknown == set()


def test_every_documented_status_of_http_is_in_the_table(documented):
    assert set(documented["HTTP Code"]) == set(STATUSES)


def test_no_code_has_two_meanings():
    listed = [
        code
        for entries in codes.TABLE.values()
        for entry in entries
        for code in (entry if isinstance(entry, range) else [entry])
    ]
    # A code may stand alone within the range of a family.
    alone = [e for entries in codes.TABLE.values() for e in entries if isinstance(e, int)]
    families = set(codes.TABLE[Meaning.ELSEWHERE])
    ranged = [code for each in families if isinstance(each, range) for code in each]

    assert len(alone) == len(set(alone))
    assert len(listed) - len(set(listed)) == len(set(alone) & set(ranged))


@dataclass
class Case:
    code: int
    kind: type
    deed: Deed = Deed.PLACE
    stops: bool = False
    benign: bool = False
    http: bool = False


CASES = [
    *(Case(code, OutcomeUnknown) for code in (-1, 429, 10_000, 10_014, 10_016, 10_019)),
    *(Case(code, OutcomeUnknown) for code in (170_007, 170_146, 170_147, 110_072, 110_030)),
    *(Case(code, Unreachable) for code in (10_002, 10_006, 10_018, 10_429, 110_079)),
    *(Case(code, ExchangeRefused) for code in (10_001, 110_003, 110_094, 110_092, 110_017)),
    *(Case(code, ExchangeRefused) for code in (110_004, 110_007, 110_012, 110_045, 110_052)),
    *(Case(code, ExchangeRefused) for code in (110_021, 110_023, 110_090, 170_131, 110_001)),
    *(
        Case(code, ExchangeRefused, stops=True)
        for code in (
            10_003, 10_004, 10_005, 10_007, 10_008, 10_009, 10_010, 10_024, 10_027, 10_028, 33_004,
            110_066, 110_074, -2015,
        )
    ),
    *(
        Case(code, ExchangeRefused, Deed.CHANGE, benign=True)
        for code in (110_043, 34_040, 110_025, 110_026, 110_027)
    ),
    *(
        Case(code, ExchangeRefused, Deed.CANCEL, benign=True)
        for code in (110_001, 110_008, 110_010)
    ),
    Case(110_017, ExchangeRefused, Deed.CLOSE, benign=True),
    Case(110_008, ExchangeRefused, Deed.CHANGE),
    *(Case(code, Unreachable, Deed.READ) for code in (10_000, 10_016, 10_006, 10_002)),
    Case(10_005, ExchangeRefused, Deed.READ, stops=True),
    # What nobody has documented yet.
    Case(10_999, OutcomeUnknown),
    Case(500, OutcomeUnknown),
    Case(500_123, OutcomeUnknown),
    Case(110_999, ExchangeRefused),
    *(Case(status, OutcomeUnknown, http=True) for status in (302, 409, 500, 502, 503, 504)),
    Case(429, Unreachable, http=True),
    Case(400, ExchangeRefused, http=True),
    Case(401, ExchangeRefused, http=True, stops=True),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_code_is_the_error_it_should_be(case):
    error = codes.error(case.code, "what Bybit says", case.deed, http=case.http)

    assert type(error) is case.kind
    assert "what Bybit says" in str(error)
    if isinstance(error, ExchangeRefused):
        assert (error.code, error.stops, error.benign) == (case.code, case.stops, case.benign)


def test_recorded_errors_of_an_account_are_told_in_sentences(shared):
    recorded = json.loads((shared / "specs/bybit/recorded_errors.json").read_text())
    bodies = [entry["body"] for entry in recorded["rest"]]
    bodies += [
        {"retCode": entry["frame"]["retCode"], "retMsg": entry["frame"]["retMsg"]}
        for entry in recorded["ws"]
        if "retCode" in entry["frame"]
    ]

    assert len(bodies) > 30
    for body in bodies:
        assert codes.known(body["retCode"]) is not None
        for deed in Deed:
            text = str(codes.error(body["retCode"], body["retMsg"], deed))
            assert text[0].isupper()
            said = body["retMsg"].partition(codes.ECHO)[0]
            assert text.endswith(f"(Bybit: {body['retCode']} {said})")


@pytest.mark.parametrize("deed", WRITES)
def test_only_what_is_surely_refused_is_called_refused(deed):
    """The reverse of the table: nothing that may have been done is told as not done."""
    for found in (Meaning.UNSURE, Meaning.DUPLICATE):
        for entry in codes.TABLE[found]:
            assert type(codes.error(entry, "", deed)) is OutcomeUnknown


def test_a_wrong_signature_is_told_without_the_request_that_bybit_repeats():
    error = codes.error(10_004, "error sign! origin_string[1700[redacted]5000]", Deed.READ)
    assert str(error) == (
        "Bybit does not accept the signature: the API secret does not belong to the key. "
        "(Bybit: 10004 error sign!)"
    )
