"""Signatures as the Standard Webhooks specification says."""

import pytest

from insights.web.signing import signed

# The example of the specification's reference libraries.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
BODY = b'{"test": 2432232314}'


def test_the_example_of_the_specification_is_signed_as_it_says() -> None:
    assert signed(SECRET, ID, BODY, 1614265330) == {
        "webhook-id": ID,
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_each_part_is_signed() -> None:
    found = {
        signed(*of)["webhook-signature"]
        for of in [
            (SECRET, ID, BODY, 1.0),
            (SECRET, ID, BODY, 2.0),
            (SECRET, ID, BODY + b" ", 1.0),
            (SECRET, ID + "x", BODY, 1.0),
            ("whsec_" + "A" * 32, ID, BODY, 1.0),
            ("a secret as it is", ID, BODY, 1.0),
        ]
    }
    assert len(found) == 6


def test_a_key_that_is_no_base64_is_refused_without_being_quoted() -> None:
    with pytest.raises(ValueError, match="no Base64") as refused:
        signed("whsec_no base64!", ID, BODY)
    assert "base64!" not in str(refused.value)
