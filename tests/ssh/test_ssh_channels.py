"""Session channels through the relay: what passes, what is asked, what is recorded first, what a refusal looks like."""

from __future__ import annotations

import pytest

from protocols.command import Pty
from protocols.ssh import messages as m
from protocols.ssh.refusal import words
from protocols.verdict import Allow, Deny
from tests.ssh.channels import (
    CLIENT, GATEWAY, TARGET, Opinions, Playbook, adjust, asks, close, data, env, eof, exit_status, intends, malformed, no, pty, refuses,
    reports, request, runs, shell, to_client, to_target, withdraws, yes,
)

NO = Deny("not here", "OST-203", hint="Ask.")
WORDS = b"ostiary: not here [OST-203]. Ask.\r\n"
NOTICE = (
    b"ostiary: request r1 waits for approval by leads [OST-300]\r\n", b"ostiary: why: why\r\n",
    b"ostiary: they type: ostiary request approve r1 --as NAME\r\n",
    b"ostiary: it waits for 5 minutes at most; leave with Ctrl-C, and it never runs\r\n",
)
HELD = tuple(to_client(data(line, CLIENT, m.STDERR)) for line in NOTICE)


def refusal(words: bytes, stream: int = m.STDERR) -> list[tuple]:
    """What a client and a target see of a command that does not run."""
    return [
        to_client(yes(CLIENT)), to_client(data(words, CLIENT, stream)), to_client(exit_status(126, CLIENT)),
        to_client(eof(CLIENT)), to_client(close(CLIENT)), to_target(close(TARGET)),
    ]


def test_nothing_of_a_command_leaves_before_its_record_is_durable() -> None:
    """Neither the request nor the input that the client sent behind it."""
    (
        Playbook().opened()
        .client(runs(b"id"), asks(1, "exec id"))
        .client(data(b"in"))
        .client(eof())
        .verdict(1, Allow(), intends(1))
        .recorded(1, to_target(runs(b"id", TARGET)), to_target(data(b"in", TARGET)), to_target(eof(TARGET)))
    )


def test_a_whole_command() -> None:
    """Half-close, both streams, status, and what came of it."""
    book = (
        Playbook().running()
        .client(data(b"abc"), to_target(data(b"abc", TARGET)))
        .client(eof(), to_target(eof(TARGET)))
        .target(data(b"out"), to_client(data(b"out", CLIENT)))
        .target(data(b"err!", stream=1), to_client(data(b"err!", CLIENT, 1)))
        .client(adjust(7), to_target(adjust(7, TARGET)))
        .target(exit_status(3), to_client(exit_status(3, CLIENT)))
        .target(eof(), to_client(eof(CLIENT)))
        .target(close(), to_client(close(CLIENT)), reports(1))
        .client(close(), to_target(close(TARGET)))
        .target(data(b"late"))
        .client(adjust(1))
    )
    facts = book.outcomes[1].facts
    assert facts["exit"] == "3" and facts["sent_bytes"] == "3" and facts["received_bytes"] == "3" and facts["stderr_bytes"] == "4"
    assert facts["sent_sha256"] == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert book.outcomes[1].bytes == 7


def test_a_refused_command_tells_the_person_and_gives_scripts_a_status() -> None:
    (
        Playbook().opened().client(runs(b"rm x"), asks(1, "exec rm x")).client(data(b"gone"))
        .verdict(1, NO, refuses(1), *refusal(WORDS))
        .client(data(b"ignored")).client(eof()).target(data(b"ignored")).target(close()).client(close())
    )


def test_on_a_terminal_a_refusal_is_data() -> None:
    (
        Playbook().opened().client(pty(), to_target(pty(TARGET))).target(yes(), to_client(yes(CLIENT)))
        .client(shell(), asks(1, "shell")).verdict(1, NO, refuses(1), *refusal(WORDS, 0))
    )


@pytest.mark.parametrize(
    ("hint", "said"),
    [("write it out", "not here [OST-203]; write it out"), ("Ask.", "not here [OST-203]. Ask."), ("", "not here [OST-203]")], ids=["small", "capital", "none"],
)  # fmt: skip
def test_behind_a_full_stop_a_sentence_begins(hint: str, said: str) -> None:
    assert words(Deny("not here.", "OST-203", hint=hint)) == said


def test_a_command_that_cannot_be_recorded_is_refused() -> None:
    words = b"ostiary: the command was not recorded, so it was not sent: the store is full [OST-801]; try again later\r\n"
    (
        Playbook().opened().client(runs(b"id"), asks(1, "exec id")).client(data(b"in")).verdict(1, Allow(), intends(1))
        .unrecorded(1, reports(1, "refused"), *refusal(words))
    )


def test_a_command_whose_grant_was_spent_meanwhile_is_told_so_and_nothing_of_the_evidence_store() -> None:
    words = b"ostiary: the command was not sent: the grant is spent [OST-308]; send it again to have it decided anew\r\n"
    (
        Playbook().opened().client(runs(b"id"), asks(1, "exec id")).client(data(b"in")).verdict(1, Allow(), intends(1))
        .ungranted(1, reports(1, "refused"), *refusal(words), why="the grant is spent")
    )


def test_a_held_command_tells_its_person_and_is_withdrawn_when_the_client_closes() -> None:
    """A dead client's command must not run when it is approved."""
    (
        Playbook().opened().client(runs(b"id"), asks(1, "exec id"))
        .held(1, *HELD)
        .client(close(), withdraws(1), to_target(close(TARGET)))
        .verdict(1, Allow())
        .target(close(), to_client(close(CLIENT)))
    )


def test_ctrl_c_on_a_terminal_gives_up_what_waits_for_people() -> None:
    """A client in raw mode passes it on instead of leaving. Before there was a notice it is typed ahead, as anything else."""
    words = b"ostiary: given up while it waited for approval [OST-304]\r\n"
    (
        Playbook().opened().client(pty(), to_target(m.addressed(pty(), TARGET))).target(yes(), to_client(yes(CLIENT)))
        .client(shell(), asks(1, "shell")).client(data(b"\x03"))
        .held(1, to_client(adjust(256, CLIENT)), *(to_client(data(line, CLIENT)) for line in NOTICE))
        .client(data(b"ls\r"))
        .client(data(b"x\x03"), withdraws(1), to_client(yes(CLIENT)), to_client(data(words, CLIENT)), to_client(exit_status(126, CLIENT)),
                to_client(eof(CLIENT)), to_client(close(CLIENT)), to_target(close(TARGET)))
        .verdict(1, Allow()).client(data(b"more"))
    )  # fmt: skip


def test_a_withdrawn_command_is_recorded_as_refused() -> None:
    """Cancelling makes the pipeline say so; the client hears nothing, but the evidence does."""
    (
        Playbook().opened().client(runs(b"id"), asks(1, "exec id")).client(close(), withdraws(1), to_target(close(TARGET)))
        .verdict(1, Deny("cancelled while it waited for approval", "OST-304"), refuses(1)).verdict(1, Allow())
    )


def test_the_adjust_for_a_notice_never_reaches_the_target() -> None:
    """The client pays for the gateway's own words; its target must not be given that credit."""
    (
        Playbook().opened().client(runs(b"id"), asks(1, "exec id")).held(1, *HELD)
        .client(adjust(sum(map(len, NOTICE)) - 1)).client(adjust(3), to_target(adjust(2, TARGET)))
    )


def test_while_one_channel_is_held_others_go_on() -> None:
    (
        Playbook().opened().client(runs(b"one"), asks(1, "exec one"))
        .opened(gateway=1, client=8, target=43)
        .client(runs(b"two", 1), asks(2, "exec two")).verdict(2, Allow(), intends(2)).recorded(2, to_target(runs(b"two", 43)))
        .verdict(1, Allow(), intends(1)).recorded(1, to_target(runs(b"one", TARGET)))
    )


def test_answers_come_in_the_order_of_the_requests() -> None:
    """The second is refused by the gateway at once; the client hears of it after the target's answer to the first."""
    (
        Playbook().opened().client(pty(), to_target(pty(TARGET))).client(request("unknown@example.com"))
        .client(pty()).target(yes(), to_client(yes(CLIENT)), to_client(no(CLIENT)), to_client(no(CLIENT)))
    )


def test_variables_outside_the_list_do_not_pass() -> None:
    book = Playbook().opened().client(env(b"LANG"), to_target(env(b"LANG", channel=TARGET))).client(env(b"LD_PRELOAD"))
    book.client(runs(b"id"), asks(1, "exec id"))
    assert book.asked[1].environment == ((b"LANG", b"C"),)


def test_a_terminal_is_on_the_command_only_if_the_target_gave_one() -> None:
    book = Playbook().opened().client(pty(), to_target(pty(TARGET))).target(yes(), to_client(yes(CLIENT))).client(shell(), asks(1, "shell"))
    assert book.asked[1].pty == Pty("xterm", 80, 24, b"\0")
    book = Playbook().opened().client(pty(), to_target(pty(TARGET))).target(no(), to_client(no(CLIENT))).client(shell(), asks(1, "shell"))
    assert book.asked[1].pty is None


def test_a_channel_runs_one_command() -> None:
    Playbook().running().client(runs(b"again"), to_client(no(CLIENT)))


def test_after_a_target_refused_a_subsystem_another_command_may_be_asked_for() -> None:
    payload = request("subsystem", m.string(b"sftp"))
    (
        Playbook().opened().client(payload, asks(1, "subsystem sftp")).verdict(1, Allow(), intends(1))
        .recorded(1, to_target(m.addressed(payload, TARGET))).target(no(), reports(1, "error"), to_client(no(CLIENT)))
        .client(runs(b"id"), asks(2, "exec id"))
    )


def test_input_before_any_command_goes_nowhere_and_costs_no_credit() -> None:
    Playbook().opened().client(data(b"early"), to_client(adjust(5, CLIENT)))


def test_agent_forwarding_is_asked_for_and_only_then_may_the_target_open_one() -> None:
    ask = request("auth-agent-req@openssh.com")
    agent = m.Open("auth-agent@openssh.com", 50, 10, 10).write()
    refused = m.write_open_failure(50, m.ADMINISTRATIVELY_PROHIBITED, "the client did not ask for it")
    (
        Playbook().opened().target(agent, to_target(refused))
        .client(ask, asks(1, "agent")).client(runs(b"id"))
        .verdict(1, Allow(), intends(1), asks(2, "exec id"))
        .recorded(1, to_target(m.addressed(ask, TARGET)))
        .target(agent, to_client(m.Open("auth-agent@openssh.com", 1, 10, 10).write()), ("remarks", "ssh.connection"))
    )


def test_no_agent_is_reached_while_nobody_observes() -> None:
    """It was offered while somebody did."""
    opinions, ask = Opinions(), request("auth-agent-req@openssh.com")
    book = Playbook(opinions).opened().client(ask, asks(1, "agent")).verdict(1, Allow(), intends(1)).recorded(1, to_target(request("auth-agent-req@openssh.com", channel=TARGET)))
    opinions.unforwarded = "nobody observes"
    book.target(m.Open("auth-agent@openssh.com", 50, 10, 10).write(), to_target(m.write_open_failure(50, m.ADMINISTRATIVELY_PROHIBITED, "nobody observes")))


def test_a_refused_agent_is_a_failure_and_the_command_behind_it_is_asked() -> None:
    Playbook().opened().client(request("auth-agent-req@openssh.com"), asks(1, "agent")).client(runs(b"id")).verdict(
        1, NO, refuses(1), to_client(no(CLIENT)), asks(2, "exec id")
    )


def test_the_targets_keepalive_is_answered_by_the_gateway() -> None:
    Playbook().running().target(request("keepalive@openssh.com"), to_target(no(TARGET)))


def test_a_lost_target_is_told_with_a_signal_and_reported_as_unknown() -> None:
    book = Playbook().running()
    signal = request("exit-signal", m.string(b"HUP") + b"\0" + m.string(b"target lost") + m.string(b""), False, CLIENT)
    book.says(
        book.relay.close("target lost"), to_client(data(b"ostiary: target lost\r\n", CLIENT, 1)), to_client(signal),
        to_client(close(CLIENT)), reports(1, "unknown"),
    )
    assert book.relay.from_client(data(b"x")) == []


def test_messages_for_channels_that_never_were_end_the_session() -> None:
    Playbook().client(data(b"x", 5), malformed("client"))
    Playbook().target(data(b"x", 5), malformed("target"))


def test_data_before_the_target_confirmed_ends_the_session() -> None:
    open = m.Open("session", CLIENT, 10, 10)
    Playbook().client(open.write(), to_target(m.Open("session", GATEWAY, 10, 10).write())).client(data(b"x"), malformed("client"))


def test_a_refused_opening_reaches_the_client_with_its_code() -> None:
    open = m.Open("session", CLIENT, 10, 10)
    (
        Playbook().client(open.write(), to_target(m.Open("session", GATEWAY, 10, 10).write()))
        .target(m.write_open_failure(GATEWAY, 4, "full"), to_client(m.write_open_failure(CLIENT, 4, "full")))
        .target(data(b"late"))
    )


def test_a_client_that_has_closed_is_still_told_how_its_command_ended() -> None:
    """OpenSSH's client closes behind both ends' EOF, the status may come later: `ssh -M` made 255 of it. Nothing else follows."""
    (
        Playbook().opened().client(runs(b"id"), asks(1, "exec id")).verdict(1, Allow(), intends(1))
        .recorded(1, to_target(runs(b"id", TARGET))).target(yes(), to_client(yes(CLIENT)))
        .client(eof(), to_target(eof(TARGET))).target(eof(), to_client(eof(CLIENT))).client(close(), to_target(close(TARGET)))
        .target(request("keepalive@openssh.com"))
        .target(exit_status(3), to_client(exit_status(3, CLIENT)))
        .target(close(), to_client(close(CLIENT)), reports(1))
    )
