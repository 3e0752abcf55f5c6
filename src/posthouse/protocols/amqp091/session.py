"""The server's side of one AMQP 0-9-1 connection: handshake, tuning, channel table, closing. No I/O.

The owner (`posthouse.server.connection`) gives received octets to `Session.receive` and sends what stands in the output buffer.
AMQP 0-9-1 §2.2.4 (connection class), §4.2 (framing); RabbitMQ: reply texts, the order of checks, and what it does where the
specification leaves room. Per-message work is in `engine`.
"""

from __future__ import annotations

import enum
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Protocol

from posthouse.auth.api import Authorizer, Identity
from posthouse.auth.sasl import Mechanism, SaslRegistry
from posthouse.broker.broker import Broker
from posthouse.broker.dispatch import Dispatcher, QueueCore
from posthouse.broker.vhost import VHost
from posthouse.core.errors import PosthouseError
from posthouse.protocols.amqp091 import basic, topology
from posthouse.protocols.amqp091.brake import Brake
from posthouse.protocols.amqp091.capabilities import PROFILE, Profile
from posthouse.protocols.amqp091.channel import Channel
from posthouse.protocols.amqp091.engine import ConnectionCore
from posthouse.protocols.amqp091.errors import REPLY_NAMES, AmqpError, from_domain
from posthouse.wire.amqp091 import methods
from posthouse.wire.amqp091.frames import heartbeat_frame, method_frame
from posthouse.wire.errors import (
    BadFrameEnd,
    FrameTooLarge,
    UnknownFrame,
    WireError,
    octets_of_frame,
)

log = logging.getLogger(__name__)

# The handlers of a channel's methods register themselves.
_ = (basic, topology)

PROTOCOL_HEADER = b"AMQP\x00\x00\x09\x01"
# The header of AMQP 0-9, which RabbitMQ takes for 0-9-1.
OLD_HEADER = b"AMQP\x01\x01\x00\x09"
FRAME_METHOD = 1
FRAME_HEADER = 2
FRAME_BODY = 3
FRAME_HEARTBEAT = 8
# How long a close of ours may stay unanswered before the socket goes.
CLOSE_TIMEOUT_S = 30
# RabbitMQ: this long after close-ok the client has to close the socket.
LINGER_S = 5


def _at_once(callback: Callable[[], object]) -> None:
    callback()


class State(enum.Enum):
    """Where the connection is in its life."""

    HEADER = "waiting for the protocol header"
    START_OK = "starting"
    SECURE_OK = "securing"
    REFUSED = "waiting to be told that the login was refused"
    TUNE_OK = "tuning"
    OPEN = "opening"
    RUNNING = "running"
    CLOSING = "closing"
    LINGERING = "waiting for the client to close the socket"
    CLOSED = "closed"


class Transport(Protocol):
    """What a session needs of its owner."""

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class SessionServices:
    """What all sessions of a node share. ``refuse_later`` calls back when a refused login may be answered."""

    broker: Broker
    dispatcher: Dispatcher
    sasl: SaslRegistry
    authorizer: Authorizer
    new_name: Callable[[str], str]
    server_properties: dict[str, object]
    on_open: Callable[[Session], None]
    alarm_reason: Callable[[], str] = lambda: "low on memory"
    profile: Profile = PROFILE
    message_size_max: int = 134217728
    output_high_bytes: int = 1 << 20
    refuse_later: Callable[[Callable[[], object]], object] = _at_once
    queue_high_bytes: int = 32 << 20
    consumers_per_channel_max: int = 0
    mechanisms: tuple[str, ...] = ("PLAIN", "AMQPLAIN")
    frame_max: int = 131072
    channel_max: int = 2047
    heartbeat_s: int = 60

    @cached_property
    def start_frame(self) -> bytes:
        """``connection.start``, the same for every connection: encoded once."""
        start = methods.ConnectionStart(
            version_major=0,
            version_minor=9,
            server_properties=self.server_properties,
            mechanisms=" ".join(self.mechanisms).encode(),
            locales=b"en_US",
        )
        return method_frame(0, start.encode())

    @cached_property
    def tune_frame(self) -> bytes:
        """``connection.tune``, likewise."""
        tune = methods.ConnectionTune(
            channel_max=self.channel_max, frame_max=self.frame_max, heartbeat=self.heartbeat_s
        )
        return method_frame(0, tune.encode())


OPEN_OK = method_frame(0, methods.ConnectionOpenOk(reserved_1="").encode())
CLOSE_OK = method_frame(0, methods.ConnectionCloseOk().encode())


@lru_cache(maxsize=64)
def _channel_open_ok(number: int) -> bytes:
    return method_frame(number, methods.ChannelOpenOk(reserved_1=b"").encode())


class Session(ConnectionCore):
    """One connection.

    Attributes:
        identity: the authenticated user, None before.
        vhost: the virtual host after ``connection.open``.
        client_properties, capabilities: what the client said of itself, shared with its likes: never to be changed.
        brake: why the client is not read at the moment.
        flush: called at the end of a batch to send what may be sent; the owner's.
        is_finished: everything is said; the owner closes the socket once the output is empty.
    """

    def __init__(
        self,
        services: SessionServices,
        peer: tuple[str, int],
        local: tuple[str, int],
    ) -> None:
        super().__init__(services.dispatcher)
        self.services = services
        self.peer = peer
        self.local = local
        self.transport: Transport | None = None
        self.flush: Callable[[], object] = _nothing
        self.state = State.HEADER
        self.identity: Identity | None = None
        self.vhost: VHost | None = None
        self.client_properties: dict[str, Any] = {}
        self.capabilities: dict[str, Any] = {}
        self.is_finished = False
        self.heartbeat_s = 0
        self.channel_max = services.channel_max
        self.out_high = services.output_high_bytes
        self.queue_high = services.queue_high_bytes
        self.message_max = services.message_size_max
        self._mechanism: Mechanism | None = None
        self._mechanism_name = ""
        self.brake = Brake(self)
        self._silent_s = 0
        self._idle_out_s = 0
        self._sent_before = 0
        self._closing_s = 0
        self._is_handling = False
        self._after_reply: list[bytes] = []

    @property
    def name(self) -> str:
        """``peer:port -> local:port``, as RabbitMQ names connections."""
        return f"{self.peer[0]}:{self.peer[1]} -> {self.local[0]}:{self.local[1]}"

    def __str__(self) -> str:
        """For log lines, which most of the time nobody formats."""
        return self.name

    # --- octets ---------------------------------------------------------------------------------

    def receive(self, data: bytearray, size: int) -> int:
        """Handle ``data[:size]``; returns how many octets were used. The rest is to be offered again."""
        if self.state is State.HEADER:
            return self._receive_header(data, size)
        used = self.parse(data, size)
        if self.has_published:
            if self.dispatcher.alarm:
                self.brake.stop_for_alarm()
            if self.dispatcher.is_behind:
                self.brake.stop_for_log()
        return size if self.stopped else used

    def _receive_header(self, data: bytearray, size: int) -> int:
        known = min(size, 8)
        head = bytes(data[:known])
        if head not in (PROTOCOL_HEADER[:known], OLD_HEADER[:known]):
            # RabbitMQ: the header it wants, then the socket closes.
            self.put(PROTOCOL_HEADER)
            self._finish()
            return size
        if size < 8:
            return 0
        self.put(self.services.start_frame)
        self.state = State.START_OK
        rest = size - 8
        if not rest:
            return 8
        data[:rest] = data[8:size]
        used = self.parse(data, rest)
        if self.stopped:
            return size
        data[8 + used : size] = bytes(data[used:rest])
        return 8 + used

    def send(self, channel: int, method: methods.Method) -> None:
        """Write one method frame."""
        self.put(method_frame(channel, method.encode()))

    # --- frames ---------------------------------------------------------------------------------

    def on_frame(self, kind: int, number: int, payload: bytes) -> None:
        """Every frame that the engine does not handle itself."""
        self._is_handling = True
        try:
            if self.state is State.CLOSING:
                self._while_closing(kind, number, payload)
            elif number == 0 and kind == FRAME_METHOD:
                self._on_connection_method(methods.decode_method(payload))
            else:
                self._dispatch(kind, number, payload)
        except AmqpError as error:
            self._fail(number, error)
        except PosthouseError as error:
            self._fail(number, from_domain(error))
        except WireError as error:
            self._fail(
                number,
                AmqpError(error.reply_code, error.explanation, error.class_id, error.method_id),
            )
        except Exception:
            log.exception("connection %s: internal error", self)
            self.fail(AmqpError(541, "INTERNAL_ERROR"))
        finally:
            self._is_handling = False
            if self._after_reply:
                frames, self._after_reply = self._after_reply, []
                self.put(b"".join(frames))

    def put_after_reply(self, data: bytes) -> None:
        """Write ``data`` behind the answer to the method that is being handled, or at once.

        RabbitMQ: a client that deletes a queue it consumes gets delete-ok before the cancel.
        """
        if self._is_handling:
            self._after_reply.append(data)
        else:
            self.put(data)

    def _dispatch(self, kind: int, number: int, payload: bytes) -> None:
        if kind == FRAME_HEARTBEAT and not payload:
            if number:
                raise AmqpError(505, octets_of_frame(kind, payload))
            return
        if kind not in (FRAME_METHOD, FRAME_HEADER, FRAME_BODY):
            raise UnknownFrame(kind, payload)
        if number == 0:
            raise AmqpError(505, octets_of_frame(kind, payload))
        if self.state is not State.RUNNING:
            # RabbitMQ: no dialogue with somebody who is not logged in.
            raise AmqpError(504, f"unexpected frame on channel {number} while {self.state.value}")
        channel = self.channels.get(number)
        if channel is None:
            self._without_channel(kind, number, payload)
            return
        assert isinstance(channel, Channel)
        channel.handle(kind, payload)

    def _without_channel(self, kind: int, number: int, payload: bytes) -> None:
        if kind != FRAME_METHOD:
            raise AmqpError(505, "expected method frame, got non method frame instead")
        method = methods.decode_method(payload)
        if isinstance(method, methods.ChannelOpen):
            self._open_channel(number)
        else:
            raise AmqpError(504, "expected 'channel.open'", method.class_id, method.method_id)

    def _open_channel(self, number: int) -> None:
        if self.channel_max and len(self.channels) >= self.channel_max:
            raise AmqpError(
                530,
                f"number of channels opened ({len(self.channels)}) has reached "
                f"the negotiated channel_max ({self.channel_max})",
            )
        assert self.identity is not None
        self.services.broker.limits.open_channel(self.identity.name)
        self.channels[number] = Channel(self, number)
        self.put(_channel_open_ok(number))

    def forget_channel(self, number: int) -> None:
        """The channel is closed on both sides."""
        assert self.identity is not None
        if self.channels.pop(number, None) is not None:
            self.services.broker.limits.close_channel(self.identity.name)
        self.current = None

    def on_bad_frame(self, kind: int, size: int, payload: bytes, end: int) -> None:
        """Nothing behind a bad frame can be understood: say so, and drop what still comes."""
        problem = (
            FrameTooLarge(kind, size, self.frame_max - 8)
            if end < 0
            else BadFrameEnd(kind, payload, end)
        )
        if self.state in (State.RUNNING, State.OPEN):
            self.fail(AmqpError(501, problem.explanation))
            # The socket stays open for a while: closed with input unread, it would take our answer with it.
            self.state = State.LINGERING
        else:
            # Not what it says: before login that may be a password.
            kind_of_problem = type(problem).__name__
            log.info("connection %s: %s before the connection was open", self, kind_of_problem)
            self._finish()
        self.stopped = True

    def on_fault(self) -> None:
        """The owner could not handle what came in: nothing of the client's is understood any more."""
        self.fail(AmqpError(541, "the broker could not handle what was sent"))
        if not self.is_finished:
            # The socket stays open for a while: closed with input unread, it would take our answer with it.
            self.state = State.LINGERING
        self.stopped = True

    # --- connection methods ---------------------------------------------------------------------

    def _on_connection_method(self, method: methods.Method) -> None:
        expected, handler = CONNECTION_METHODS.get(type(method), NOT_FOR_SERVERS)
        if self.state is not expected:
            raise AmqpError(
                504,
                f"unexpected method in connection state {self.state.value}",
                method.class_id,
                method.method_id,
            )
        handler(self, method)

    def _on_start_ok(self, method: methods.ConnectionStartOk) -> None:
        self.client_properties = method.client_properties
        capabilities = self.client_properties.get("capabilities")
        self.capabilities = capabilities if isinstance(capabilities, dict) else {}
        name = method.mechanism
        mechanism = self.services.sasl.get(name) if name in self.services.mechanisms else None
        if mechanism is None:
            raise AmqpError(503, f"unknown authentication mechanism '{name}'", 10, 11)
        self._mechanism = mechanism
        self._mechanism_name = name
        self._on_sasl(method.response)

    def _on_secure_ok(self, method: methods.ConnectionSecureOk) -> None:
        self._on_sasl(method.response)

    def _on_sasl(self, response: bytes) -> None:
        assert self._mechanism is not None
        outcome = self._mechanism.step(response, self.peer[0])
        if outcome.challenge is not None:
            self.state = State.SECURE_OK
            self.send(0, methods.ConnectionSecure(challenge=outcome.challenge))
            return
        if outcome.identity is None:
            self._refuse_login(outcome.reason)
            return
        self.identity = outcome.identity
        self._mechanism = None
        self.state = State.TUNE_OK
        self.put(self.services.tune_frame)

    def _refuse_login(self, reason: str) -> None:
        """Say no, after a while that makes guessing slow (P19); until then nothing more is read."""
        log.warning("connection %s: %s login refused: %s", self, self._mechanism_name, reason)
        self.state = State.REFUSED
        self.stopped = True
        self.services.refuse_later(self._say_refusal)

    def _say_refusal(self) -> None:
        if self.state is not State.REFUSED:
            return
        if self.capabilities.get("authentication_failure_close"):
            self.stopped = False
            self.fail(
                AmqpError(
                    403,
                    "Login was refused using authentication mechanism "
                    f"{self._mechanism_name}. For details see the broker logfile.",
                )
            )
        else:
            # RabbitMQ: such clients get a closed socket and no frame.
            self._finish()

    def _on_tune_ok(self, method: methods.ConnectionTuneOk) -> None:
        services = self.services
        _check_tuned("frame_max", method.frame_max, services.frame_max, services.profile.frame_min)
        _check_tuned("channel_max", method.channel_max, services.channel_max, 1)
        self.frame_max = method.frame_max
        self.body_max = method.frame_max - 8
        self.channel_max = method.channel_max
        self.heartbeat_s = method.heartbeat
        self.state = State.OPEN

    def _on_open(self, method: methods.ConnectionOpen) -> None:
        assert self.identity is not None
        name = method.virtual_host
        user = self.identity.name
        vhost = self.services.broker.vhosts.get(name)
        if vhost is None:
            raise AmqpError(530, f"vhost {name} not found", 10, 40)
        if not self.services.authorizer.may_access_vhost(self.identity, name):
            raise AmqpError(530, f"access to vhost '{name}' refused for user '{user}'", 10, 40)
        self.services.broker.limits.open_connection(name, user)
        self.vhost = vhost
        self.routes = vhost.routes
        self.state = State.RUNNING
        self.is_open = True
        self.put(OPEN_OK)
        self.services.on_open(self)
        log.info(
            "connection %s: user '%s' authenticated and granted access to vhost '%s'",
            self,
            user,
            name,
        )

    def _on_close(self, _method: methods.ConnectionClose) -> None:
        """RabbitMQ: after close-ok the client closes the socket; what it still sends is dropped."""
        self._leave()
        self.put(CLOSE_OK)
        self.state = State.LINGERING
        self.is_open = False
        self.stopped = True

    def _on_update_secret(self, method: methods.ConnectionUpdateSecret) -> None:
        assert self.identity is not None
        if not self.services.sasl.update_secret(self.identity, method.new_secret):
            raise AmqpError(530, "New secret was refused by one of the backends", 10, 70)
        for channel in self.channels.values():
            assert isinstance(channel, Channel)
            channel.forget_permissions()
        self.send(0, methods.ConnectionUpdateSecretOk())

    # --- ending ---------------------------------------------------------------------------------

    def _fail(self, number: int, error: AmqpError) -> None:
        """Answer an error on channel ``number`` with the scope its code has."""
        channel = self.channels.get(number) if number else None
        if error.closes_connection or channel is None:
            self.fail(error)
            return
        assert isinstance(channel, Channel)
        log.info("connection %s: channel %d error: %s", self, number, error.text)
        channel.fail(error)

    def fail(self, error: AmqpError) -> None:
        """Close the connection with ``error``; harmless when it is closing already."""
        if self.state in (State.CLOSING, State.LINGERING, State.CLOSED):
            return
        # A client that asked for another mechanism, or with the wrong password, is told so.
        is_told = error.code == 403 or (error.code, error.class_id, error.method_id) == (
            503,
            10,
            11,
        )
        # What a stranger sent is not repeated: it may be a password in the wrong place.
        is_known = self.identity is not None or is_told
        log.info(
            "connection %s: closing: %s", self, error.text if is_known else REPLY_NAMES[error.code]
        )
        self._leave()
        self.is_open = False
        self.state = State.CLOSING
        if self.identity is None and not is_told:
            # Before login RabbitMQ drops the socket without a word.
            self._finish()
            self.stopped = True
            return
        self.send(
            0,
            methods.ConnectionClose(
                reply_code=error.code,
                reply_text=error.text,
                failing_class_id=error.class_id,
                failing_method_id=error.method_id,
            ),
        )

    def give_up(self) -> None:
        """As a waiter of the dispatcher: the commit that this connection waits for will not be done (P12)."""
        self.take_back()
        self.fail(AmqpError(541, "the log failed: what was not confirmed may be lost"))

    def shutdown(self, reason: str) -> None:
        """The operator or the node's end: 320."""
        if self.state in (State.RUNNING, State.OPEN):
            self.fail(AmqpError(320, reason))
        else:
            self._finish()

    def _while_closing(self, kind: int, number: int, payload: bytes) -> None:
        """Only close and close-ok count now; everything else is dropped, whatever it is."""
        if kind != FRAME_METHOD or number:
            return
        try:
            method = methods.decode_method(payload)
        except WireError:
            return
        if isinstance(method, methods.ConnectionClose):
            self.put(CLOSE_OK)
            self.state = State.LINGERING
            self.stopped = True
        elif isinstance(method, methods.ConnectionCloseOk):
            self._finish()
            self.stopped = True

    def _finish(self) -> None:
        self.state = State.CLOSED
        self.is_open = False
        self.is_finished = True
        self.touch()

    def _leave(self) -> None:
        """Give back what the connection has of its virtual host; harmless when repeated."""
        for number, channel in list(self.channels.items()):
            assert isinstance(channel, Channel)
            self.forget_channel(number)
            channel.release()
        vhost, self.vhost = self.vhost, None
        if vhost is not None:
            assert self.identity is not None
            vhost.delete_exclusive(self)
            self.services.broker.limits.close_connection(vhost.name, self.identity.name)

    def lost(self) -> None:
        """The socket is gone."""
        if self.state not in (
            State.CLOSED,
            State.CLOSING,
            State.LINGERING,
            State.HEADER,
        ):
            log.info("connection %s: client unexpectedly closed TCP connection", self)
        self._leave()
        self.state = State.CLOSED
        self.is_open = False
        self.stopped = True
        self.dispatcher.waiters.pop(self, None)
        self.drop_arrival()
        self.discard_output()
        self.transport = None
        self.flush = _nothing

    # --- back-pressure --------------------------------------------------------------------------

    def on_congested(self, queue: QueueCore) -> None:
        """See `Brake.stop_for`."""
        self.brake.stop_for(queue)

    def pause(self) -> None:
        """See `posthouse.protocols.amqp091.brake.Publisher`."""
        if self.transport is not None:
            self.transport.pause()

    def resume(self) -> None:
        """See `posthouse.protocols.amqp091.brake.Publisher`."""
        if self.transport is not None:
            self.transport.resume()

    def tell_alarm(self, is_on: bool) -> None:
        """See `posthouse.protocols.amqp091.brake.Publisher`."""
        if self.capabilities.get("connection.blocked"):
            blocked = methods.ConnectionBlocked(reason=self.services.alarm_reason())
            self.send(0, blocked if is_on else methods.ConnectionUnblocked())

    def on_alarm_cleared(self) -> None:
        """Publishers may go on."""
        self.brake.alarm_cleared()

    # --- time -----------------------------------------------------------------------------------

    def on_handshake_timeout(self) -> None:
        """The handshake took too long; the owner drops the socket."""
        log.info("connection %s: handshake timeout while %s", self, self.state.value)

    def on_second(self, now: float) -> None:
        """Once a second: heartbeats both ways, and closes that nobody answers."""
        if self.state in (State.CLOSING, State.LINGERING):
            self._closing_s += 1
            limit = LINGER_S if self.state is State.LINGERING else CLOSE_TIMEOUT_S
            if self._closing_s > limit:
                self._finish()
                self._drop()
            return
        self.brake.on_second()
        if self.state is not State.RUNNING:
            return
        sent = self.sent_total + self.oo
        is_idle = sent == self._sent_before
        self._sent_before = sent
        if is_idle:
            self.shrink_output()
        if self.heartbeat_s:
            self._keep_heartbeat(is_idle)

    def _keep_heartbeat(self, is_idle: bool) -> None:
        """Drop a client that was silent for two intervals; send a heartbeat after half of one without output."""
        self._silent_s = 0 if self.seen_bytes or self.brake.is_on else self._silent_s + 1
        self.seen_bytes = False
        # So many whole seconds, and what passed before the first of them.
        if self._silent_s >= 2 * self.heartbeat_s:
            log.warning(
                "connection %s: missed heartbeats from client, timeout: %ds",
                self,
                self.heartbeat_s,
            )
            self._drop()
            return
        self._idle_out_s = self._idle_out_s + 1 if is_idle else 0
        # A second without output begins up to a second after the last octet.
        if self._idle_out_s + 1 >= max(1, self.heartbeat_s // 2) and self.on == self.oo:
            self._idle_out_s = -1
            self.put(heartbeat_frame())
            # It is no output of its own: the next one is due as long after it as it was after what came before.
            self._sent_before = self.sent_total + self.on

    def _drop(self) -> None:
        if self.transport is not None:
            self.transport.close()


Handler = Callable[[Session, Any], None]  # Any: each handler takes its own method class

# Where in a connection's life a method of channel 0 may come, and what it does.
CONNECTION_METHODS: dict[type[methods.Method], tuple[State | None, Handler]] = {
    methods.ConnectionStartOk: (State.START_OK, Session._on_start_ok),
    methods.ConnectionSecureOk: (State.SECURE_OK, Session._on_secure_ok),
    methods.ConnectionTuneOk: (State.TUNE_OK, Session._on_tune_ok),
    methods.ConnectionOpen: (State.OPEN, Session._on_open),
    methods.ConnectionClose: (State.RUNNING, Session._on_close),
    methods.ConnectionUpdateSecret: (State.RUNNING, Session._on_update_secret),
}
NOT_FOR_SERVERS: tuple[None, Handler] = (None, lambda _session, _method: None)


def _nothing() -> None:
    """Nobody sends what this session writes (any more)."""


def _check_tuned(name: str, value: int, server: int, minimum: int) -> None:
    """RabbitMQ's rules for ``tune-ok``: between the minimum and the server's value; 0 means no limit."""
    if server and (value == 0 or value > server):
        raise AmqpError(
            530,
            f"negotiated {name} = {value} is higher than the maximum allowed value ({server})",
            10,
            31,
        )
    if value and value < minimum:
        raise AmqpError(
            530,
            f"negotiated {name} = {value} is lower than the minimum allowed value ({minimum})",
            10,
            31,
        )
