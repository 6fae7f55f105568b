from __future__ import annotations

from loop_facts import a_decision, a_round, decided, on, opened
from retrue.core.incident import current_incident, read_incidents


def current(decisions, rounds=(), *, champion="1", day=0.0):
    incidents = read_incidents(decisions, rounds)
    return current_incident(incidents, champion=champion, now=on(day))


def muted(until: float, *, day: float = 0.5):
    return a_decision("incident-muted", day=day, incident="inc", until=on(until).isoformat())


def accepted(*, day: float):
    return a_decision("incident-accepted", day=day, incident="inc", until=None)


def test_an_alarm_that_nobody_looked_into_is_open():
    incident = current([opened()])

    assert incident is not None
    assert (incident.state, incident.outcome, incident.probes) == ("open", None, ())
    assert incident.windows == ("w1",)


def test_every_alarm_of_the_same_shift_adds_its_window_once():
    checks = [
        a_decision("drift-check", day=1, incident="inc", window="w1"),
        a_decision("drift-check", day=2, incident="inc", window="w2"),
        a_decision("drift-check", day=3, incident="another", window="w3"),
        a_decision("drift-check", day=4, incident=None, window="w4"),
    ]

    (incident,) = read_incidents([opened(), *checks], [])

    assert incident.windows == ("w1", "w2")


def test_its_probes_are_the_rounds_that_carry_its_name_and_were_not_cancelled():
    rounds = [
        a_round("p1", "probe", "inc/1"),
        a_round("p2", "probe", "inc/2", "cancelled"),
        a_round("p3", "probe", "income/1"),
        a_round("r1", "inference", "inc"),
    ]

    (incident,) = read_incidents([opened()], rounds)

    assert (incident.state, incident.probes, incident.aimed) == ("probing", ("p1",), "r1")


def test_a_decided_incident_keeps_the_same_shift_quiet_for_thirty_days():
    facts = [opened(), decided("harmless", day=1)]

    assert current(facts, day=30.9).state == "decided"
    assert current(facts, day=31) is None


def test_another_champion_starts_without_incidents():
    assert current([opened(champion="1")], champion="2") is None


def test_a_muted_incident_is_current_until_its_date():
    facts = [opened(), muted(until=10)]

    assert current(facts, day=9).state == "muted"
    assert current(facts, day=10) is None


def test_a_muted_incident_that_is_accepted_later_is_accepted():
    incident = current([opened(), muted(until=2), accepted(day=1)], day=5)

    assert incident is not None
    assert (incident.state, incident.quiet_until) == ("accepted", on(31))


def test_an_accepted_incident_that_is_muted_later_is_muted():
    incident = current([opened(), accepted(day=1), muted(until=90, day=2)], day=60)

    assert incident is not None
    assert incident.state == "muted"


def test_a_persons_word_goes_before_what_the_probe_showed():
    incident = current([opened(), decided("loss", day=1), accepted(day=2)], day=3)

    assert incident is not None
    assert (incident.state, incident.outcome) == ("accepted", "loss")


def test_of_several_incidents_the_newest_is_current():
    facts = [opened("old", day=0), opened("new", day=1)]

    assert current(facts, day=2).incident_id == "new"
