"""Commands that have a person edit what is there and put it back, since to put one replaces the whole."""

# A file for nobody else to read, which is removed at the end.
_FILE = "(f=$(mktemp) && trap 'rm -f \"$f\"' EXIT && "
_PUT = '${{EDITOR:-vi}} "$f" && aws secretsmanager put-secret-value --secret-id {secret} --secret-string "file://$f")'
# Formats for the commands that have the value of `{secret}` written, or the present one edited: it stands in no
# argument, and is not printed.
VALUE_WRITTEN = _FILE + _PUT
VALUE_EDITED = (
    f"{_FILE}aws secretsmanager get-secret-value --secret-id {{secret}} --query SecretString --output text > "
    f'"$f" && {_PUT}'
)


def edited(fetch: str, put: str) -> str:
    """The command that has the present policy edited: both name policy.json."""
    return f"{fetch} --output text > policy.json && ${{EDITOR:-vi}} policy.json && {put}"
