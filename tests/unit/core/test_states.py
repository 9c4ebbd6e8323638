"""The tables of states agree with each other."""

import pytest

from celeriac import JobState
from celeriac.core.states import CELERY_STATES, FINISHED, FROM_CELERY, TRANSITIONS, sources_of

STATES = list(JobState)


@pytest.mark.parametrize("table", [TRANSITIONS, CELERY_STATES])
def test_every_state_is_in_every_table(table: dict[JobState, object]) -> None:
    assert table.keys() == set(STATES)


@pytest.mark.parametrize("state", STATES)
def test_the_sources_of_a_state_are_the_inverse_of_the_transitions(state: JobState) -> None:
    inverse = {source for source in STATES if state in TRANSITIONS[source]}
    assert sources_of(state, manual=True) == inverse
    assert sources_of(state) == inverse - FINISHED


@pytest.mark.parametrize("state", STATES)
def test_a_finished_job_moves_only_by_hand_back_to_its_queue_and_success_is_final(state: JobState) -> None:
    assert state.finished is (state in FINISHED)
    if state is JobState.SUCCEEDED:
        assert TRANSITIONS[state] == set()
    elif state.finished:
        assert TRANSITIONS[state] == {JobState.QUEUED}


@pytest.mark.parametrize("state", [state for state in STATES if not state.finished])
def test_a_job_that_has_not_ended_can_be_run_cancelled_and_fail_and_never_goes_back_to_scheduled(
    state: JobState,
) -> None:
    assert TRANSITIONS[state] >= {JobState.RUNNING, JobState.CANCELLED, JobState.FAILED, JobState.DEAD}
    assert JobState.SCHEDULED not in TRANSITIONS[state]


@pytest.mark.parametrize("state", STATES)
def test_celery_knows_every_state_by_a_name_of_its_own(state: JobState) -> None:
    from celery import states as celery_states

    assert CELERY_STATES[state] in celery_states.ALL_STATES
    assert state.finished is (CELERY_STATES[state] in celery_states.READY_STATES)


@pytest.mark.parametrize("name", FROM_CELERY)
def test_what_celery_stores_means_the_state_that_it_is_stored_for(name: str) -> None:
    assert CELERY_STATES[FROM_CELERY[name]] == name
