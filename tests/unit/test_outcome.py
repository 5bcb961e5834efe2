"""What a failure and a finding say of themselves."""

import pytest

from rotation.outcome import NEEDS_A_PERSON, ROLLED_BACK, ROTATED, UNTOUCHED, Failure, Finding, error_message


def test_where_nothing_failed_the_failure_says_so() -> None:
    assert (Failure().step, Failure().error, Failure().reason) == ("none", "none", "")


def test_a_failure_in_one_line_names_error_step_and_reason() -> None:
    failure = Failure("SetSecret", "LoginRefusedError", "refused")

    assert str(failure) == "LoginRefusedError in SetSecret: refused"


def test_a_finding_is_of_awscurrent_if_it_says_nothing_else() -> None:
    found = Finding(ROTATED)

    assert (found.working, found.why, found.account) == ("AWSCURRENT", "", "")
    assert (found.pending_removed, found.held, found.abandoned) == (False, False, False)
    assert (found.current_version, found.working_version) == ("", "")


def test_texts_of_any_length_are_cut_so_that_the_message_is_one_that_sns_takes() -> None:
    finding = Finding(UNTOUCHED, why="w" * 1_001, account="a" * 1_001)

    assert Failure(reason="r" * 1_001).reason == "r" * 1_000
    assert (finding.why, finding.account) == ("w" * 1_000, "a" * 1_000)


@pytest.mark.parametrize(
    ("finding", "key"),
    [
        (Finding(ROTATED), "rotated/AWSCURRENT"),
        (Finding(UNTOUCHED, pending_removed=True), "untouched/AWSCURRENT/given up"),
        (Finding(ROLLED_BACK, held=True), "rolled back/AWSCURRENT/held"),
        (Finding(NEEDS_A_PERSON, "none", abandoned=True), "needs a person/none/abandoned"),
        (
            Finding(ROLLED_BACK, pending_removed=True, held=True, abandoned=True),
            "rolled back/AWSCURRENT/given up/held/abandoned",
        ),
    ],
)
def test_people_are_told_again_when_outcome_working_credential_or_what_happens_next_changes(
    finding: Finding, key: str
) -> None:
    assert finding.key == key


@pytest.mark.parametrize(
    ("cause", "text"),
    [
        ('{"errorMessage": "refused", "errorType": "LoginRefusedError"}', "refused"),
        ('{"errorMessage": 7}', "7"),
        ('{"errorType": "LoginRefusedError"}', '{"errorType": "LoginRefusedError"}'),
        ("no JSON", "no JSON"),
        ("[1]", "[1]"),
        ("7", "7"),
        ("", ""),
    ],
)
def test_the_words_of_an_error_are_those_in_its_json_else_the_cause_itself(cause: str, text: str) -> None:
    assert error_message(cause) == text
