"""A right of MongoDB in words. https://www.mongodb.com/docs/manual/reference/resource-document"""

from collections.abc import Mapping

import pytest

from rotation.engines.mongo import _resource


@pytest.mark.parametrize(
    ("resource", "words"),
    [
        ({"db": "shop", "collection": "orders.old"}, "shop.orders.old"),
        ({"db": "shop", "collection": ""}, "shop"),
        ({"db": "", "collection": "orders"}, "*.orders"),
        ({"db": "", "collection": ""}, "*"),
        ({"cluster": True}, "cluster True"),
        ({"anyResource": True}, "anyResource True"),
        ({"system_buckets": "weather", "db": "shop"}, "db shop, system_buckets weather"),
    ],
)
def test_what_a_right_is_on_is_said_in_words_that_are_never_ambiguous(
    resource: Mapping[str, object], words: str
) -> None:
    assert _resource(resource) == words
