"""What the tags of a secret ask for, and which mistakes in them are named before anything changes."""

import string

import pytest

from rotation.errors import InvalidSecretError
from rotation.redaction import forget
from rotation.settings import Settings, only_of_a_log_in


def refusal(**tags: str) -> str:
    with pytest.raises(InvalidSecretError) as error:
        Settings.of({f"rotation:{name.replace('_', '-')}": value for name, value in tags.items()})
    return str(error.value)


def test_without_tags_a_password_of_32_characters_is_made() -> None:
    settings = Settings.of({"team": "payments", "Rotation": "no tag of ours"})

    assert len(settings.new_value()) == 32
    assert (settings.engine, settings.strategy, settings.key, settings.reads) == ("", "", "", ())
    forget()


def test_length_and_characters_are_those_of_the_tags() -> None:
    settings = Settings.of({"rotation:length": "20", "rotation:characters": "alphanumeric"})

    value = settings.new_value()

    assert len(value) == 20
    assert set(value) <= set(string.ascii_letters + string.digits)
    forget()


def test_a_generator_makes_keys_of_as_many_bytes() -> None:
    assert len(bytes.fromhex(Settings.of({"rotation:generator": "hex", "rotation:length": "24"}).new_value())) == 24
    forget()


@pytest.mark.parametrize(("generator", "least", "most"), [("password", 8, 128), ("base64", 16, 256), ("hex", 16, 256)])
def test_the_shortest_and_the_longest_length_are_taken(generator: str, least: int, most: int) -> None:
    for length in (least, most):
        Settings.of({"rotation:generator": generator, "rotation:length": str(length)})
    for length in (least - 1, most + 1):
        assert f"it may be a number from {least} to {most}" in refusal(generator=generator, length=str(length))


@pytest.mark.parametrize("value", ["on", "off", "retain"])
def test_two_passwords_are_what_the_tag_says_and_on_without_it(value: str) -> None:
    assert Settings.of({"rotation:two-passwords": value}).two_passwords == value
    assert Settings.of({}).two_passwords == "on"


def test_of_an_admin_secrets_tags_those_count_that_say_how_to_log_in() -> None:
    log_in = {"rotation:engine": "mysql", "rotation:key": "pw", "rotation:two-passwords": "off"}

    assert only_of_a_log_in({**log_in, "rotation:length": "20", "team": "payments"}) == log_in
    assert only_of_a_log_in({"rotation:two-passwords": "perhaps"}) == {}


def test_reads_are_separated_by_spaces() -> None:
    assert Settings.of({"rotation:reads": "public.orders  items"}).reads == ("public.orders", "items")


def test_a_tag_that_is_not_known_is_named_with_those_that_are() -> None:
    message = refusal(lenght="20")

    assert message.startswith("unknown tag 'rotation:lenght'; this rotator knows admin, characters, engine,")


@pytest.mark.parametrize("tag", ["strategy", "generator", "characters", "two-passwords"])
@pytest.mark.parametrize("value", ["", "Password", "none of these"])
def test_a_value_that_is_not_known_is_named_with_those_that_are(tag: str, value: str) -> None:
    if (tag, value) == ("strategy", ""):
        value = " "
    message = refusal(**{tag: value})

    assert message.startswith(f"the tag 'rotation:{tag}' is {value!r}; it may be one of ")


@pytest.mark.parametrize("length", ["", "7", "129", "-20", "20.0", "٣٢", "many"])
def test_a_length_that_makes_no_password_is_named(length: str) -> None:
    assert refusal(length=length) == f"the tag 'rotation:length' is {length!r}; it may be a number from 8 to 128"


def test_a_length_or_characters_that_the_generator_does_not_take_are_named() -> None:
    assert "'rotation:length'" in refusal(generator="uuid", length="32")
    assert "'rotation:length'" in refusal(generator="base64", length="15")
    assert refusal(generator="hex", characters="alphanumeric") == (
        "the tag 'rotation:characters' goes with the generator 'password' alone"
    )
    assert refusal(strategy="both").endswith("it may be one of single-user, alternating-users")


@pytest.mark.parametrize("name", [".", "orders.", ".orders", "public..orders"])
def test_a_name_to_read_from_that_is_none_is_named(name: str) -> None:
    assert (
        refusal(reads=f"items {name}") == f"the tag 'rotation:reads' names {name!r}, which is no name of a table or key"
    )
