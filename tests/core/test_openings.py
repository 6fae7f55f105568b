from __future__ import annotations

from dataclasses import replace

import pytest

from loop_facts import a_round, a_window, decided, opened
from retrue.core.incident import read_incidents
from retrue.core.openings import Facts, Opening, alarmed_windows, pending_openings

W1, W2, W3 = (a_window(name, day=day) for day, name in enumerate(["w1", "w2", "w3"]))
FACTS = Facts(
    rounds=[],
    windows=[W1],
    has_champion=True,
    incident=None,
    schema_version=1,
    outdated=0,
    budget=30,
    bootstrap=60,
    probe_block=20,
    probe_max=50,
)


def facts(*decisions, rounds=(), **changes) -> Facts:
    """What is known with an incident as these decisions and rounds have it."""
    found = read_incidents(decisions, rounds)
    incident = found[0] if found else None
    return replace(FACTS, **{"incident": incident, "rounds": rounds, **changes})


def the_opening(facts: Facts) -> Opening:
    (opening,), waiting = pending_openings(facts)
    assert waiting == []
    return opening


def nothing(facts: Facts) -> bool:
    return pending_openings(facts) == ([], [])


def test_a_quiet_loop_opens_nothing():
    assert nothing(FACTS)


def test_without_a_model_a_first_round_is_drawn_from_all_incoming_windows():
    first, second = a_window("i1", "incoming"), a_window("i2", "incoming")

    opening = the_opening(replace(FACTS, has_champion=False, windows=[first, W1, second]))

    assert (opening.kind, opening.cause, opening.budget) == ("bootstrap", "first", 60)
    assert opening.windows == (first, second)


def test_where_only_logs_come_in_the_first_round_is_drawn_from_those():
    assert the_opening(replace(FACTS, has_champion=False)).windows == (W1,)


def test_without_any_window_there_is_no_first_round():
    assert nothing(replace(FACTS, has_champion=False, windows=[]))


@pytest.mark.parametrize("state", ["planned", "open", "collecting", "closed", "published"])
def test_the_first_round_is_opened_once(state):
    rounds = [a_round("b", "bootstrap", "first", state)]

    assert nothing(replace(FACTS, has_champion=False, rounds=rounds))


def test_a_first_round_that_was_cancelled_is_not_opened_again_and_that_is_said():
    rounds = [a_round("b", "bootstrap", "first", "cancelled")]

    openings, (waiting,) = pending_openings(replace(FACTS, has_champion=False, rounds=rounds))

    assert openings == []
    assert "round b was cancelled" in waiting.why
    assert "retrue round open" in waiting.do


def test_an_incident_buys_a_small_probe_of_its_window_and_the_next():
    opening = the_opening(facts(opened(), windows=[W1, W2, W3]))

    assert (opening.kind, opening.cause, opening.budget) == ("probe", "inc/1", 20)
    assert opening.windows == (W1, W2)
    assert "x moved" in opening.why


@pytest.mark.parametrize("state", ["planned", "open", "collecting"])
def test_a_probe_without_all_its_answers_buys_no_other(state):
    assert nothing(facts(opened(), rounds=[a_round("p1", "probe", "inc/1", state)]))


def test_an_undecided_probe_buys_the_next_block_from_the_same_windows():
    first = a_round("p1", "probe", "inc/1", windows=(W1,))

    opening = the_opening(facts(opened(), rounds=[first], windows=[W1, W2]))

    assert (opening.cause, opening.windows, opening.budget) == ("inc/2", (W1,), 20)


def test_the_last_block_is_what_the_maximum_leaves():
    rounds = [a_round(f"p{n}", "probe", f"inc/{n}", windows=(W1,)) for n in (1, 2)]

    assert the_opening(facts(opened(), rounds=rounds)).budget == 10


def test_a_probe_at_its_maximum_buys_nothing_more():
    rounds = [a_round(f"p{n}", "probe", f"inc/{n}", windows=(W1,), audit=25) for n in (1, 2)]

    assert nothing(facts(opened(), rounds=rounds))


def test_a_probe_that_took_every_row_there_is_buys_nothing_more():
    assert nothing(facts(opened(), rounds=[a_round("p1", "probe", "inc/1", frame_rows=20)]))


def test_a_cancelled_probe_waits_for_a_person_to_close_the_incident():
    openings, (waiting,) = pending_openings(
        facts(opened(), rounds=[a_round("p1", "probe", "inc/1", "cancelled")])
    )

    assert openings == []
    assert "retrue drift accept" in waiting.do


def test_an_incident_whose_windows_the_ledger_lost_says_how_to_get_them_back():
    openings, (waiting,) = pending_openings(facts(opened(), windows=[]))

    assert openings == []
    assert "retrue ledger rebuild" in waiting.do


PROBED = (a_round("p1", "probe", "inc/1", windows=(W1,)),)


def test_a_loss_opens_a_labeling_round_aimed_at_the_alarmed_windows():
    opening = the_opening(facts(opened(), decided("loss"), rounds=PROBED, windows=[W1, W2, W3]))

    assert (opening.kind, opening.cause, opening.budget) == ("inference", "inc", 30)
    assert opening.windows == (W1, W2)


@pytest.mark.parametrize("outcome", ["harmless", "undecided"])
def test_a_shift_that_hurts_nobody_opens_nothing(outcome):
    assert nothing(facts(opened(), decided(outcome), rounds=PROBED))


def test_the_aimed_round_is_opened_once():
    rounds = [*PROBED, a_round("r1", "inference", "inc", "open")]

    assert nothing(facts(opened(), decided("loss"), rounds=rounds))


def test_a_new_class_waits_until_the_schema_has_it():
    found = facts(opened(), decided("new_class"), rounds=PROBED)

    openings, (waiting,) = pending_openings(found)
    later = the_opening(replace(found, schema_version=2))

    assert openings == []
    assert "retrue schema apply" in waiting.do
    assert later.kind == "inference"


def test_outdated_labels_are_asked_again():
    opening = the_opening(replace(FACTS, outdated=7, schema_version=3))

    assert (opening.kind, opening.cause, opening.budget) == ("relabel", "schema-3/1", 7)


def test_the_rest_of_a_relabeling_that_caps_cut_short_follows_when_it_is_over():
    running = a_round("l1", "relabel", "schema-2/1", "open")
    over = a_round("l1", "relabel", "schema-2/1", "published")
    left = replace(FACTS, outdated=7, schema_version=2)

    assert nothing(replace(left, rounds=[running]))
    assert the_opening(replace(left, rounds=[over])).cause == "schema-2/2"


def test_a_cancelled_relabeling_is_not_opened_behind_a_persons_back():
    rounds = [a_round("l1", "relabel", "schema-2/1", "cancelled")]

    openings, waiting = pending_openings(
        replace(FACTS, outdated=7, schema_version=2, rounds=rounds)
    )

    assert openings == []
    assert len(waiting) == 1


def test_an_alarm_on_the_last_window_has_no_window_after_it():
    (incident,) = read_incidents([opened()], [])
    other_stream = a_window("i9", "incoming", day=9)

    assert alarmed_windows([W1, other_stream], incident) == (W1,)
