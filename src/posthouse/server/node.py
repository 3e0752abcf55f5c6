"""The composition root: a configuration becomes a running node, and ends in order.

Start: open the journal (lock, recovery), load the definitions, replay the messages, listen. Stop: accept no more, close
connections with 320, flush, close the journal. One loop thread owns everything but the committer. `process` makes a program of it;
what it stands on is `surroundings`.
"""

from __future__ import annotations

import logging
import os
import platform
import string
from collections.abc import Callable

from posthouse.auth.internal import InternalBackend
from posthouse.auth.sasl import SaslContext, SaslRegistry
from posthouse.broker.broker import Broker
from posthouse.broker.cleaner import Cleaner
from posthouse.broker.dispatch import Dispatcher
from posthouse.broker.housekeeping import Housekeeping
from posthouse.broker.limits import CHANNELS, CONNECTIONS, QUEUES, USER, VHOST, Defaults
from posthouse.broker.queues.queue import Queue
from posthouse.broker.recovery import recover
from posthouse.broker.snapshotter import Snapshotter
from posthouse.core.config import Config, LimitsConfig
from posthouse.core.errors import StorageError
from posthouse.journal.api import Journal
from posthouse.journal.block import BlockTable, LogBuffer
from posthouse.journal.local.check import Check
from posthouse.journal.local.journal import LocalJournal
from posthouse.journal.memory import MemoryJournal
from posthouse.journal.rewriter import Rewriter
from posthouse.protocols.amqp091.capabilities import PROFILE, server_properties
from posthouse.protocols.amqp091.session import Session, SessionServices
from posthouse.server.monitor import Monitor
from posthouse.server.surroundings import Door, Surroundings
from posthouse.server.tick import Tick
from posthouse.wire.amqp091.fields import typed_value

log = logging.getLogger(__name__)

EX_OK = 0
EX_UNAVAILABLE = 69
EX_IOERR = 74
# How long a stop waits for clients to answer close, and for their output to drain.
STOP_TIMEOUT_S = 3.0
CHORE_PAUSE_S = 0.002
NAME_ALPHABET = string.ascii_letters + string.digits + "-_"


class Node:
    """One broker.

    Attributes:
        recovered_count, lost_count: messages that came back; that a snapshot knew and nothing accounts for.
        on_stopped: called when clients are gone after `stop`; the owner calls `close` then.
    """

    def __init__(self, config: Config, surroundings: Surroundings) -> None:
        self._config = config
        self._surroundings = surroundings
        self._loop = loop = surroundings.loop
        self._clock = surroundings.clock
        self._random = surroundings.random
        self._stopping = False
        self._deadline_s = 0.0
        self._exit_code = EX_OK
        self.on_stopped: Callable[[], object] = lambda: None
        self.blocks = BlockTable(block_size=surroundings.block_size)
        self.journal = self._open_journal()
        self.dispatcher = Dispatcher(
            self.blocks,
            LogBuffer(self.blocks, False),
            self.journal.shard,
            surroundings.ring_max,
        )
        self.tick = Tick(
            self.dispatcher,
            self.journal,
            loop,
            ack_delay_s=config.log.ack_delay_ms / 1000,
            unsynced_high=config.limits.unsynced_high_water_bytes,
        )
        self.monitor = Monitor(
            config.limits,
            None if config.node.memory else os.path.abspath(config.node.data_dir),
            self._on_alarm,
            memory_total=surroundings.memory_total,
            memory_used=surroundings.memory_used,
            disk_free=surroundings.disk_free,
            is_disk_full=lambda: self.journal.is_full or self.journal.has_failed,
        )
        self.users = InternalBackend(
            self.journal.table, self._random.randbytes, frozenset(config.auth.loopback_users)
        )
        self.dispatcher.on_damaged = self._on_damaged
        self.broker = Broker(
            self.dispatcher, self.journal.table, typed_value, _default_limits(config.limits)
        )
        self.journal.table.on_change = self._on_definitions_changed
        self.journal.on_committed = self.tick.on_committed
        self.journal.on_failed = self._on_journal_failed
        self.journal.on_full = self.monitor.check
        self.lost_count = 0
        self.recovered_count = self._load()
        self.snapshotter = Snapshotter(
            self.broker,
            self.dispatcher,
            self.journal,
            growth_min=config.log.snapshot_bytes,
            commit=self.tick.commit,
            slice_entries=surroundings.slice_entries,
        )
        self.cleaner = Cleaner(
            self.broker,
            self.dispatcher,
            self.journal,
            commit=self.tick.commit,
            slice_entries=surroundings.slice_entries,
            batch_bytes=surroundings.batch_bytes,
        )
        self.rewriter = Rewriter(
            self.journal, commit=self.tick.commit, slice_rows=surroundings.slice_rows
        )
        self.housekeeping = Housekeeping((self.snapshotter, self.cleaner, self.rewriter))
        self.services = self._make_services()
        self.door = self._make_door()

    # --- construction ---------------------------------------------------------------------------

    def _open_journal(self) -> Journal:
        node = self._config.node
        post: Callable[[Callable[[], object]], object] = self._loop.call_soon_threadsafe
        if node.memory:
            return MemoryJournal(self.blocks, post)
        self.blocks.memory_max = self._config.limits.message_memory_bytes
        journal = LocalJournal(
            self._surroundings.files,
            os.path.abspath(node.data_dir),
            self.blocks,
            post,
            self._surroundings.make_committer,
            durability=node.durability,
            segment_size=self._config.log.segment_size_bytes,
            reserve_size=self._config.log.reserve_bytes,
        )
        journal.table.dead_min = self._surroundings.dead_min
        try:
            if self._config.log.on_damage == "stop":
                self._refuse_damage(os.path.abspath(node.data_dir))
            journal.open(f"{node.name} pid {self._surroundings.process_id}")
        except OSError as error:
            raise self._unusable(error) from error
        return journal

    def _refuse_damage(self, directory: str) -> None:
        """Look first (P11, ``on_damage = stop``)."""
        check = Check(self._surroundings.files, directory)
        for _ in check.run():
            pass
        losses = [
            f"{finding.path}: {finding.text}" for finding in check.findings if finding.is_loss
        ]
        if losses:
            raise StorageError(
                f"{len(losses)} damaged places in {directory}, the first is {losses[0]}; look with 'posthouse check', "
                "or start with log.on_damage = serve"
            )

    def _load(self) -> int:
        """Definitions, then messages; returns how many messages came back."""
        is_blank = not self.journal.table.changes
        self.broker.load()
        if not self.users.has_users():
            self._make_first_user()
        try:
            recovery = recover(self.broker, self.journal, self.blocks)
        except OSError as error:
            raise self._unusable(error) from error
        if is_blank and recovery.has_met_messages:
            # Going on would mean to trim messages whose queues only the lost definitions know.
            raise StorageError(
                f"{self._config.node.data_dir}/definitions holds nothing, but there are messages of queues that must have been "
                "defined there: put it back from a copy, or start on another --data-dir"
            )
        self.lost_count = recovery.lost
        return recovery.count

    def _make_first_user(self) -> None:
        report = self.journal.reports.get("definitions")
        if report is not None and report.damaged:
            # Broken definitions deny, they do not bring default passwords back.
            log.critical(
                "the definitions are damaged and no user is left of them: nobody can log in; look with 'posthouse check'"
            )
            return
        auth = self._config.auth
        self.broker.add_vhost(auth.default_vhost)
        self.users.add_user(auth.default_user, auth.default_pass, auth.default_user_tags)
        configure, write, read = auth.default_permissions
        self.users.set_permissions(auth.default_user, auth.default_vhost, configure, write, read)

    def _unusable(self, error: OSError) -> StorageError:
        directory = self._config.node.data_dir
        return StorageError(
            f"the data directory {directory} cannot be used: {error.strerror or error}"
        )

    def _make_services(self) -> SessionServices:
        config = self._config
        return SessionServices(
            broker=self.broker,
            dispatcher=self.dispatcher,
            sasl=SaslRegistry(SaslContext(self.users)),
            authorizer=self.users,
            new_name=self._new_name,
            server_properties=server_properties(
                config.node.name, PROFILE, f"Python {platform.python_version()}"
            ),
            on_open=self._on_session_open,
            refuse_later=self._refuse_later,
            alarm_reason=lambda: self.monitor.reason,
            message_size_max=config.amqp.max_message_size_bytes,
            output_high_bytes=config.limits.output_high_water_bytes,
            queue_high_bytes=config.limits.queue_high_water_bytes,
            consumers_per_channel_max=config.limits.consumer_max_per_channel,
            mechanisms=config.auth.mechanisms,
            frame_max=config.amqp.frame_max,
            channel_max=config.amqp.channel_max,
            heartbeat_s=config.amqp.heartbeat_s,
        )

    def _make_door(self) -> Door:
        amqp = self._config.amqp
        return self._surroundings.make_door(
            self._loop,
            self.tick,
            self._clock,
            lambda peer, local: Session(self.services, peer, local),
            backlog=amqp.backlog,
            handshake_timeout_s=amqp.handshake_timeout_s,
            unauthenticated_max=amqp.unauthenticated_max,
            connections_max=min(amqp.connections_max, self._surroundings.connection_room),
        )

    def _new_name(self, prefix: str) -> str:
        """A server-made name: the prefix and 22 characters that nobody can guess."""
        return prefix + "".join(self._random.choices(NAME_ALPHABET, k=22))

    # --- callbacks ------------------------------------------------------------------------------

    def _on_definitions_changed(self) -> None:
        self.dispatcher.note_change()

    def _on_session_open(self, session: Session) -> None:
        assert session.transport is not None
        self.door.opened(session.transport)

    def _refuse_later(self, refuse: Callable[[], object]) -> None:
        def now() -> None:
            refuse()
            self.tick.settle()

        self._loop.call_later(self._config.auth.refusal_delay_ms / 1000, now)

    def _on_alarm(self, is_alarmed: bool) -> None:
        """Publishers are blocked at their next publish, or all let go."""
        self.dispatcher.alarm = is_alarmed
        if not is_alarmed:
            for connection in list(self.door.connections):
                connection.session.on_alarm_cleared()
            self.tick.settle()

    def _on_damaged(self, queue: Queue, position: int) -> None:
        """A message could not be read back; it is passed over (P11)."""
        log.error(
            "queue '%s' in vhost '%s': the message at log position %d is damaged and passed over; "
            "what is left of it stays on disk for 'posthouse check'",
            queue.name,
            queue.vhost.name,
            position,
        )

    def _on_journal_failed(self, error: OSError) -> None:
        """A failed write or sync is final (P12): nothing more is confirmed."""
        self._exit_code = EX_IOERR
        self.tick.on_failed()
        if self._config.log.on_failure == "block":
            log.critical("the journal failed: %s; nothing later was confirmed", error)
            self.monitor.check()
        else:
            log.critical("the journal failed: %s; nothing later was confirmed, stopping", error)
            self.stop()

    # --- life -----------------------------------------------------------------------------------

    def listen(self) -> tuple[str, int]:
        """Accept connections; returns the address."""
        amqp = self._config.amqp
        self.tick.settle()
        address = self.door.bind(amqp.bind, amqp.port)
        self._on_second()
        return address

    def _on_second(self) -> None:
        if self._stopping:
            return
        # First of all: whatever goes wrong now, alarms and trims go on.
        self._loop.call_later(1.0, self._on_second)
        self.blocks.shrink()
        self.monitor.check()
        if not self.journal.has_failed:
            self._keep_house()

    def _keep_house(self) -> None:
        self.journal.trim()
        self.journal.check_space()
        if self.journal.mark():
            self.tick.commit()
        if self.housekeeping.check():
            self._work()

    def _work(self) -> None:
        """A slice takes about a millisecond; clients get the loop in between."""
        if self._stopping or self.journal.has_failed:
            return
        has_more = True
        try:
            has_more = self.housekeeping.step()
        finally:
            # A chore that broke off has nothing more to do the next time.
            if has_more:
                self._loop.call_later(CHORE_PAUSE_S, self._work)

    def stop(self) -> None:
        """Begin the orderly end; harmless when repeated."""
        if self._stopping:
            return
        self._stopping = True
        log.info("stopping: closing %d connections", len(self.door.connections))
        self.door.stop_accepting()
        reason = "broker forced connection closure with reason 'shutdown'"
        for connection in list(self.door.connections):
            connection.session.shutdown(reason)
        self.tick.settle()
        self._deadline_s = self._clock.monotonic_s() + STOP_TIMEOUT_S
        self._wait_for_clients()

    def _wait_for_clients(self) -> None:
        if self.door.connections and self._clock.monotonic_s() < self._deadline_s:
            self._loop.call_later(0.02, self._wait_for_clients)
            return
        self.door.close()
        self.tick.settle()
        self.on_stopped()

    def close(self) -> int:
        """Close the journal, after `on_stopped`; blocking. Returns the exit code of the process."""
        self.tick.stop()
        if self._exit_code == EX_OK:
            self.snapshotter.take_final()
        self.journal.stop()
        return EX_IOERR if self.journal.has_failed else self._exit_code


def _default_limits(limits: LimitsConfig) -> Defaults:
    return {
        (VHOST, CONNECTIONS): limits.vhost_connections_max,
        (VHOST, QUEUES): limits.vhost_queues_max,
        (USER, CONNECTIONS): limits.user_connections_max,
        (USER, CHANNELS): limits.user_channels_max,
    }
