"""A secret's value: what is accepted, and which key or rule is named otherwise."""

import json
from typing import Any

import pytest

from rotation.engines import ENGINES
from rotation.errors import InvalidSecretError
from rotation.redaction import forget, redacted
from rotation.secret import Secret
from rotation.strategies.alternating_users import AlternatingUsers

KNOWN = "aurora-mysql, aurora-postgresql, generic, mariadb, mongo, mysql, postgres, redis, valkey"
FIELDS = {
    "engine": "postgres",
    "host": "db.example.com",
    "port": 5433,
    "username": "app",
    "password": "Zk3-vQ9_xT7",
    "dbname": "orders",
}


def parse(fields: Any, tags: dict[str, str] | None = None) -> Secret:
    value = fields if isinstance(fields, str) else json.dumps(fields)
    return Secret.parse(value, tags or {}, ENGINES)


def without(key: str) -> dict[str, Any]:
    return {name: value for name, value in FIELDS.items() if name != key}


def parse_text(value: str, tags: dict[str, str]) -> Secret:
    return Secret.parse(value, tags, ENGINES)


def refusal(fields: Any, tags: dict[str, str] | None = None) -> str:
    with pytest.raises(InvalidSecretError) as error:
        parse(fields, tags)
    return str(error.value)


def test_a_secret_gives_the_credentials_that_it_holds() -> None:
    found = parse(FIELDS).credentials

    assert (found.username, found.password) == ("app", "Zk3-vQ9_xT7")
    assert (found.host, found.port, found.dbname, found.ssl) == ("db.example.com", 5433, "orders", True)


@pytest.mark.parametrize("engine", ["postgres", "aurora-postgresql"])
@pytest.mark.parametrize("absent", [None, ""])
def test_port_and_database_have_the_engines_defaults(engine: str, absent: str | None) -> None:
    fields = without("port") | {"engine": engine, "dbname": absent}

    found = parse(fields).credentials

    assert (found.port, found.dbname) == (5432, "postgres")


@pytest.mark.parametrize(
    ("engine", "port"), [("mysql", 3306), ("mariadb", 3306), ("mongo", 27017), ("redis", 6379), ("valkey", 6379)]
)
def test_a_service_listens_where_it_does_by_default(engine: str, port: int) -> None:
    assert parse(without("port") | {"engine": engine}).credentials.port == port


def test_a_secret_without_a_server_needs_a_password_and_nothing_else() -> None:
    found = parse({"engine": "generic", "password": "Zk3-vQ9_xT7"}).credentials

    assert (found.username, found.password, found.host, found.port) == ("", "Zk3-vQ9_xT7", "", 0)
    assert parse({"engine": "generic", "password": "Zk3-vQ9_xT7", "username": "app"}).credentials.username == "app"
    assert "'password'" in refusal({"engine": "generic", "username": "app"})


@pytest.mark.parametrize("value", ["", "Zk3-vQ9_xT7", "{'engine': 'postgres'}", '{"engine": ', "[" * 50_000, "nul"])
def test_a_value_that_is_not_json_is_named_so_and_not_quoted(value: str) -> None:
    message = refusal(value)

    assert message == (
        "the secret's value is not JSON; expected an object with the keys engine, host, username and password"
    )


@pytest.mark.parametrize("value", [[FIELDS], "text", 7, None, True])
def test_json_that_is_no_object_is_named_so(value: Any) -> None:
    assert refusal(json.dumps(value)) == (
        'the secret\'s value is JSON but not an object; expected {"engine": ..., "password": ...}'
    )


@pytest.mark.parametrize("key", ["host", "username", "password"])
@pytest.mark.parametrize("value", [None, "", 7, True, ["app"], {"is": "app"}])
def test_a_key_without_a_text_is_named(key: str, value: Any) -> None:
    assert refusal(FIELDS | {key: value}) == f"the secret's JSON needs the key '{key}' with a text that is not empty"
    assert refusal(without(key)) == f"the secret's JSON needs the key '{key}' with a text that is not empty"


@pytest.mark.parametrize("value", [7, True, ["orders"]])
def test_a_database_that_is_no_text_is_named(value: Any) -> None:
    assert "'dbname'" in refusal(FIELDS | {"dbname": value})


@pytest.mark.parametrize("key", ["username", "password", "dbname"])
def test_a_nul_character_is_named_with_its_key(key: str) -> None:
    assert refusal(FIELDS | {key: "app\0user\0admin"}) == (
        f"the secret's key '{key}' contains a NUL character, which no server accepts"
    )


@pytest.mark.parametrize("key", ["username", "password", "note"])
def test_half_a_surrogate_pair_is_refused_wherever_it_is(key: str) -> None:
    assert refusal(json.dumps(FIELDS | {key: "fox \ud83e"})) == (
        "the secret's value holds half of a surrogate pair, which is no character"
    )


@pytest.mark.parametrize("text", ["o'brien", '"x"', "back\\slash", "100%", "$1", "a;b", " ", "🦊", "סוד", "é\u00ad"])
def test_any_printable_name_and_password_are_taken_as_they_are(text: str) -> None:
    found = parse(FIELDS | {"username": text, "password": text}).credentials

    assert (found.username, found.password) == (text, text)


@pytest.mark.parametrize("absent", [None, ""])
def test_a_secret_that_names_no_engine_is_told_how_to_name_one(absent: str | None) -> None:
    for fields in (FIELDS | {"engine": absent}, without("engine")):
        assert refusal(fields) == (
            'the secret names no engine: add the key "engine" to its JSON, or tag it with aws secretsmanager '
            f"tag-resource --secret-id <secret> --tags Key=rotation:engine,Value=<engine>; engines: {KNOWN}"
        )


@pytest.mark.parametrize("engine", ["cassandra", "POSTGRES", " postgres"])
def test_an_unknown_engine_is_named_with_those_that_are_known(engine: Any) -> None:
    expected = f"unknown engine {engine!r}; this rotator knows {KNOWN}"

    assert refusal(FIELDS | {"engine": engine}) == expected


@pytest.mark.parametrize("engine", [7, ["Zk3-vQ9_xT8"], {"is": "postgres", "password": "Zk3-vQ9_xT8"}])
def test_an_engine_that_is_no_text_is_not_quoted_for_it_may_hold_a_password(engine: Any) -> None:
    expected = f"the secret's key 'engine' is not a text; this rotator knows {KNOWN}"

    assert refusal(FIELDS | {"engine": engine}) == expected


@pytest.mark.parametrize("name", [7, None, ["Zk3-vQ9_xT8"], {"password": "Zk3-vQ9_xT8"}])
def test_a_name_without_a_server_that_is_no_text_is_not_told(name: Any) -> None:
    assert parse({"engine": "generic", "password": "Zk3-vQ9_xT7", "username": name}).credentials.username == ""


def test_the_tag_decides_before_the_value_does() -> None:
    assert not parse(without("host"), {"rotation:engine": "generic"}).traits.has_server
    assert parse(FIELDS | {"engine": "cassandra"}, {"rotation:engine": "postgres"}).traits.module == "postgres"
    assert parse(without("engine"), {"rotation:engine": "postgres"}).traits.module == "postgres"
    assert "unknown engine 'cassandra'" in refusal(FIELDS, {"rotation:engine": "cassandra"})


@pytest.mark.parametrize("engine", ["postgres", "cassandra", None])
def test_a_tag_alone_takes_no_server_from_a_secret(engine: str | None) -> None:
    """Else whoever may tag it has its value changed without the server, and everybody locked out in silence."""
    fields = FIELDS | {"engine": engine}

    assert refusal(fields, {"rotation:engine": "generic"}) == (
        "the tag 'rotation:engine' is 'generic', which tells no server of the new value, but the secret's JSON names a "
        "host; if no server knows the value, let the JSON's key 'engine' be 'generic', too"
    )
    assert not parse(fields | {"engine": "generic"}, {"rotation:engine": "generic"}).traits.has_server
    assert not parse(fields | {"engine": "generic"}).traits.has_server


HOSTS = [
    "localhost",
    "127.0.0.1",
    "::1",
    "2001:db8::5",
    "db",
    "db.example.com.",
    "orders.cluster-abc123.eu-central-1.rds.amazonaws.com",
    "my_database_1",
    "xn--bcher-kva.example",
    "d" * 63,
]


@pytest.mark.parametrize("host", HOSTS)
def test_host_names_and_addresses_are_hosts(host: str) -> None:
    assert parse(FIELDS | {"host": host}).credentials.host == host


NO_HOSTS = [
    "db example.com",
    "db.example.com:5432",
    "postgres://db.example.com/orders",
    "app:secret@db",
    "db..example.com",
    ".example.com",
    "-db",
    "db-",
    "d" * 64,
    ("d" * 60 + ".") * 5,
    "db\n",
    "db/orders",
    "datenbänk",
    "[::1]",
    "1.2.3.4/32",
    "fe80::1%eth0",
    "::1%a b",
    "::1%" + "z" * 64,
    "*",
]


@pytest.mark.parametrize("host", NO_HOSTS)
def test_what_is_neither_a_host_name_nor_an_address_is_refused_and_not_quoted(host: str) -> None:
    assert refusal(FIELDS | {"host": host}) == "the secret's key 'host' is neither a host name nor an IP address"


@pytest.mark.parametrize(("port", "number"), [(1, 1), (65_535, 65_535), ("5433", 5433), ("05433", 5433)])
def test_a_port_is_a_number_or_its_digits(port: object, number: int) -> None:
    assert parse(FIELDS | {"port": port}).credentials.port == number


@pytest.mark.parametrize(
    "port", [0, -1, 65_536, 70_000, "0", "70000", "abc", "", " 5432", "5_432", "٣", "+1", True, False, 1.5, None, []]
)
def test_what_is_no_port_is_refused(port: object) -> None:
    assert refusal(FIELDS | {"port": port}) == "the secret's key 'port' is not a number from 1 to 65535"


def test_a_port_of_very_many_digits_is_refused() -> None:
    assert "'port'" in refusal(FIELDS | {"port": "9" * 5_000})


@pytest.mark.parametrize(("ssl", "meant"), [(True, True), ("true", True), (False, False), ("false", False)])
def test_ssl_is_true_or_false(ssl: object, meant: bool) -> None:
    assert parse(FIELDS | {"ssl": ssl}).credentials.ssl is meant


@pytest.mark.parametrize("ssl", ["maybe", "False", "no", "", 0, 1, None, "require"])
def test_what_is_neither_true_nor_false_never_turns_tls_off(ssl: object) -> None:
    assert refusal(FIELDS | {"ssl": ssl}) == "the secret's key 'ssl' must be true or false"


def test_another_password_leaves_every_other_field_as_it_is() -> None:
    fields = FIELDS | {"port": "5433", "note": 'größe 🦊 "x"', "nested": {"a": [1, None, True]}, "big": 2**70}

    changed = json.loads(parse(fields).with_value("new"))

    assert changed == fields | {"password": "new"}
    assert list(changed) == list(fields)


def test_a_secret_never_shows_its_value() -> None:
    secret = parse(FIELDS)

    assert "Zk3" not in f"{secret!r} {secret} {secret.credentials!r} {secret.credentials}"


def test_a_password_is_concealed_before_anything_is_checked() -> None:
    forget()
    refusal(FIELDS | {"host": "db example"})

    assert redacted("it is Zk3-vQ9_xT7") == "it is [redacted]"


ADMIN = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:admin-AbCdEf"
GENERIC = {"rotation:engine": "generic"}


@pytest.mark.parametrize(
    "engine",
    [
        *("sqlserver", "oracle", "db2", "redshift", "timestream-influxdb"),
        *("elasticache", "memorydb", "iam", "api-key"),
    ],
)
def test_an_engine_that_is_not_there_yet_is_refused_by_name_with_a_pointer(engine: str) -> None:
    assert refusal(FIELDS | {"engine": engine}) == (
        f"this rotator cannot rotate '{engine}', see docs/engines.md#not-there-yet; it knows {KNOWN}"
    )


@pytest.mark.parametrize(
    ("fields", "engine"),
    [
        ({"username": "app", "password": "secret", "user_arn": "arn:aws:elasticache:…:user:app"}, "elasticache"),
        ({"AccessKeyId": "AKIA", "SecretAccessKey": "secret"}, "iam"),
        ({"aws_access_key_id": "AKIA", "aws_secret_access_key": "secret"}, "iam"),
    ],
)
def test_a_shape_whose_values_an_api_changes_is_refused_by_name(fields: dict[str, Any], engine: str) -> None:
    assert refusal(fields).startswith(f"this rotator cannot rotate '{engine}', see docs/engines.md")


@pytest.mark.parametrize("value", ["Zk3-vQ9_xT7", "12345", "[1]", "", "half \ud83e", "a: b\nc: d", '"quoted"'])
def test_engine_generic_takes_any_text_that_is_no_json_object_as_the_value_itself(value: str) -> None:
    found = parse_text(value, GENERIC)

    assert found.credentials.password == value
    assert found.with_value("new") == "new"


def test_engine_generic_changes_the_key_that_the_tag_names_and_no_other() -> None:
    found = parse({"apiKey": "old", "url": "https://example.com"}, GENERIC | {"rotation:key": "apiKey"})

    assert found.credentials.password == "old"
    assert json.loads(found.with_value("new")) == {"apiKey": "new", "url": "https://example.com"}


def test_a_json_object_without_the_key_is_told_of_the_tag() -> None:
    assert refusal({"apiKey": "old"}, GENERIC) == (
        "the secret's JSON needs the key 'password' with a text that is not empty; the tag rotation:key names another "
        "one"
    )
    assert refusal("no json", GENERIC | {"rotation:key": "apiKey"}).startswith("the secret's value is not JSON")
    assert refusal({}, GENERIC | {"rotation:key": "apiKey"}) == (
        "the secret's JSON needs the key 'apiKey' with a text that is not empty"
    )


def test_two_users_take_turns_when_the_secret_names_an_admin_secret_or_the_tag_says_so() -> None:
    with_admin = FIELDS | {"masterarn": ADMIN}

    assert not parse(FIELDS).alternates
    assert parse(with_admin).alternates
    assert parse(with_admin).admin_arn == ADMIN
    assert parse(with_admin, {"rotation:strategy": "alternating-users"}).alternates
    assert not parse(with_admin, {"rotation:strategy": "single-user"}).alternates
    assert parse(with_admin, {"rotation:strategy": "single-user"}).admin_arn == ADMIN


@pytest.mark.parametrize(
    ("name", "partner"), [("app", "app_clone"), ("app_clone", "app"), ("_clones", "_clones_clone")]
)
def test_the_second_user_is_named_after_the_first(name: str, partner: str) -> None:
    secret = parse(FIELDS | {"masterarn": ADMIN, "username": name})

    assert json.loads(AlternatingUsers().next_value(secret))["username"] == partner


def test_a_user_whose_partner_would_have_no_name_is_refused_before_a_value_is_staged() -> None:
    with pytest.raises(
        InvalidSecretError, match=r"^a user '_clone' has no partner: its name without '_clone' is empty$"
    ):
        AlternatingUsers().next_value(parse(FIELDS | {"masterarn": ADMIN, "username": "_clone"}))


def test_alternating_users_without_an_admin_secret_are_refused() -> None:
    assert refusal(FIELDS, {"rotation:strategy": "alternating-users"}) == (
        "alternating users need an admin secret: its ARN as 'masterarn' in the secret's JSON"
    )
    assert (
        refusal({"password": "x", "masterarn": ADMIN}, GENERIC | {"rotation:strategy": "alternating-users"})
        == "engine generic has no alternating users; see docs/engines.md"
    )


@pytest.mark.parametrize(("length", "is_taken"), [(57, True), (58, False)])
def test_a_second_user_whose_name_the_server_would_cut_is_refused(length: int, is_taken: bool) -> None:
    secret = parse(FIELDS | {"masterarn": ADMIN, "username": "n" * length})
    name = "n" * length + "_clone"

    try:
        assert json.loads(AlternatingUsers().next_value(secret))["username"] == name
        assert is_taken
    except InvalidSecretError as error:
        assert not is_taken
        assert str(error) == f"the second user would be {name!r}; the server takes 63 bytes for a name"


def test_a_server_that_says_itself_how_long_a_name_may_be_is_left_to_say_so() -> None:
    secret = parse(FIELDS | {"engine": "mysql", "masterarn": ADMIN, "username": "n" * 80})

    assert json.loads(AlternatingUsers().next_value(secret))["username"] == "n" * 80 + "_clone"


@pytest.mark.parametrize("arn", ["admin", "arn:aws:lambda:eu-central-1:123456789012:function:admin", 7, ADMIN[:60]])
def test_an_admin_secret_that_is_no_whole_arn_is_named(arn: Any) -> None:
    said = refusal(FIELDS | {"masterarn": arn})

    assert said == (
        "the secret's key 'masterarn' is not the whole ARN of an admin secret"
        if isinstance(arn, str)
        else "the secret's JSON needs the key 'masterarn' with a text that is not empty"
    )


@pytest.mark.parametrize(
    ("host", "writer"),
    [
        ("db.cluster-ro-c1x2.eu-central-1.rds.amazonaws.com", "db.cluster-c1x2.eu-central-1.rds.amazonaws.com"),
        ("DB.Cluster-RO-c1x2.us-east-1.docdb.amazonaws.com", "DB.cluster-c1x2.us-east-1.docdb.amazonaws.com"),
        ("db.cluster-ro-c1.cn-north-1.rds.amazonaws.com.cn", "db.cluster-c1.cn-north-1.rds.amazonaws.com.cn"),
        ("db.cluster-ro-c1.example.com", "db.cluster-ro-c1.example.com"),
        ("db.cluster-c1x2.eu-central-1.rds.amazonaws.com", "db.cluster-c1x2.eu-central-1.rds.amazonaws.com"),
    ],
)
def test_a_reader_endpoint_counts_as_the_writer_of_its_cluster(host: str, writer: str) -> None:
    assert parse(FIELDS | {"host": host}).credentials.host == writer


def test_what_does_not_go_with_the_engine_is_refused() -> None:
    assert refusal(FIELDS, {"rotation:two-passwords": "retain"}) == (
        "the tag 'rotation:two-passwords' may be 'retain' for MySQL alone, not for postgres"
    )
    assert refusal({"password": "x"}, GENERIC | {"rotation:reads": "orders"}) == (
        "the tag 'rotation:reads' needs an engine with a server, not generic"
    )
    assert refusal(FIELDS | {"engine": "redis"}, {"rotation:two-passwords": "off"}) == (
        "the tag 'rotation:two-passwords' cannot be 'off' for redis; after a leak rotate twice"
    )


@pytest.mark.parametrize("key", ["username", "host", "engine", "port", "dbname", "masterarn", "ssl", "replicaSet"])
def test_the_tag_cannot_have_another_key_changed_than_one_for_a_password(key: str) -> None:
    said = f"the tag 'rotation:key' names '{key}', which is no key for a password"

    assert refusal(FIELDS, {"rotation:key": key}) == said


def test_without_a_server_any_key_but_the_engine_may_be_the_one_that_changes() -> None:
    fields = {"engine": "generic", "username": "app", "host": "x"}

    assert parse(fields, {"rotation:key": "username"}).credentials.password == "app"
    assert refusal(fields, {"rotation:key": "engine"}) == (
        "the tag 'rotation:key' names 'engine', which is no key for a password"
    )


def test_numbers_that_json_does_not_know_are_refused_before_they_are_written_back() -> None:
    assert "not JSON" in refusal(json.dumps(FIELDS)[:-1] + ', "limit": 1e400}')
    assert "not JSON" in refusal(json.dumps(FIELDS)[:-1] + ', "limit": NaN}')


def test_retain_is_refused_where_it_cannot_be() -> None:
    retain = {"rotation:two-passwords": "retain"}
    mysql = FIELDS | {"engine": "mysql", "masterarn": ADMIN}

    assert parse(mysql, retain).admin_arn == ""
    assert "not for mariadb" in refusal(mysql | {"engine": "mariadb"}, retain)
    assert "not for mariadb" in refusal(mysql, retain | {"rotation:engine": "mariadb"})
    assert refusal(mysql, retain | {"rotation:strategy": "alternating-users"}) == (
        "alternating users need no second password: take the tag 'rotation:two-passwords' off"
    )


@pytest.mark.parametrize(
    ("engine", "tags", "keeps"),
    [
        ("redis", {}, True),
        ("mysql", {"rotation:two-passwords": "retain"}, True),
        ("mysql", {}, False),
        ("postgres", {}, False),
    ],
)
def test_the_password_before_goes_on_working_where_the_server_holds_two(
    engine: str, tags: dict[str, str], keeps: bool
) -> None:
    assert parse(FIELDS | {"engine": engine}, tags).keeps_password is keeps


MONGO = FIELDS | {"engine": "mongo", "replicaSet": "rs0"}


def test_a_user_of_mongodb_belongs_to_the_database_of_the_secret() -> None:
    found = parse(MONGO).credentials

    assert (found.replica_set, found.dbname, found.realm) == ("rs0", "orders", "orders")
    assert (parse(FIELDS).credentials.replica_set, parse(FIELDS).credentials.realm) == ("", "")


@pytest.mark.parametrize(
    ("hosts", "meant"),
    [
        ("db", "db"),
        ("one,two:27018,127.0.0.1:1", "one,two:27018,127.0.0.1:1"),
        ("one:65535,two", "one:65535,two"),
        (
            "a.cluster-ro-c1.us-east-1.docdb.amazonaws.com:27017,b.Cluster-RO-c1.us-east-1.docdb.amazonaws.com",
            "a.cluster-c1.us-east-1.docdb.amazonaws.com:27017,b.cluster-c1.us-east-1.docdb.amazonaws.com",
        ),
    ],
)
def test_several_hosts_of_mongodb_may_have_a_port_each(hosts: str, meant: str) -> None:
    assert parse(MONGO | {"host": hosts}).credentials.host == meant


@pytest.mark.parametrize("hosts", ["one,", ",", "one,b c", "one,two/orders", "one, two", "one,[::1]:27017"])
def test_each_of_several_hosts_has_to_be_one(hosts: str) -> None:
    assert refusal(MONGO | {"host": hosts}) == "the secret's key 'host' is neither a host name nor an IP address"


@pytest.mark.parametrize("hosts", ["one:,two", "one,two:0", "one,two:65536", "one,two:x", "one:1:2,two"])
def test_each_port_of_several_hosts_has_to_be_one(hosts: str) -> None:
    assert refusal(MONGO | {"host": hosts}) == "the secret's key 'port' is not a number from 1 to 65535"


@pytest.mark.parametrize("host", ["one:27018", "one two", "one:0"])
def test_a_single_host_of_mongodb_is_a_host_like_any_other(host: str) -> None:
    assert "'host'" in refusal(MONGO | {"host": host})


def test_several_hosts_are_none_for_an_engine_with_one_server() -> None:
    assert "'host'" in refusal(FIELDS | {"host": "one,two"})


def test_another_user_is_written_beside_the_password_and_no_letter_is_escaped() -> None:
    assert parse({"engine": "redis", "host": "db", "username": "größe", "password": "x"}).with_value("é", "ü") == (
        '{"engine": "redis", "host": "db", "username": "ü", "password": "é"}'
    )


def test_a_value_without_a_server_has_no_admin() -> None:
    assert parse({"password": "x", "masterarn": ADMIN}, GENERIC).admin_arn == ""


@pytest.mark.parametrize("engine", ["SQLServer", "oracle-ee", "sqlserver-se"])
def test_other_spellings_of_what_is_not_there_yet_get_the_pointer_too(engine: str) -> None:
    assert "cannot rotate" in refusal(FIELDS | {"engine": engine})


@pytest.mark.parametrize("engine", ["oracle", "cassandra"])
def test_an_engine_that_a_tag_names_is_told_with_the_tag(engine: str) -> None:
    assert f"'{engine}' (tag 'rotation:engine')" in refusal(FIELDS, {"rotation:engine": engine})
    assert "rotation:engine" not in refusal(FIELDS | {"engine": engine})


def test_a_password_that_stands_in_another_place_too_is_not_quoted_whatever_key_is_rotated() -> None:
    # Found by tests/properties/test_secrets.py.
    forget()

    said = refusal(FIELDS | {"password": "Zk3-vQ9_xT7", "engine": "Zk3-vQ9_xT7"}, {"rotation:key": "token"})

    assert "unknown engine '[redacted]'" in redacted(said)
