from libc.stdint cimport int64_t, uint32_t, uint64_t

from posthouse.broker.dispatch cimport Consumer, Dispatcher, QueueCore
from posthouse.broker.index cimport QueueIndex
from posthouse.broker.routing cimport Route, RouteTable
from posthouse.broker.walk cimport Walker
from posthouse.core cimport layout, mem
from posthouse.journal.block cimport Block, LogBuffer
from posthouse.protocols.amqp091 cimport scan
from posthouse.protocols.amqp091.arrival cimport Arrival
from posthouse.protocols.amqp091.outlet cimport Outlet
from posthouse.protocols.amqp091.unacked cimport Unacked

import cython

cdef uint32_t BASIC_PUBLISH, BASIC_ACK, BASIC_DELIVER, BASIC_CLASS
cdef unsigned char FRAME_END
cdef Py_ssize_t WHOLE_BODY_MAX, ARRIVAL_MIN, ARRIVAL_MAX, ARRIVALS_MAX

cdef class AmqpConsumer(Consumer):
    cdef readonly ChannelCore channel
    cdef readonly ConnectionCore connection
    cdef readonly object tag
    cdef readonly bytes prefix
    cdef Py_ssize_t prefix_len
    cdef readonly bint no_ack
    cdef public Py_ssize_t limit
    cdef readonly Py_ssize_t unacked
    cdef public uint32_t number
    cdef public bint exclusive

    @cython.locals(connection=ConnectionCore, channel=ChannelCore, index=QueueIndex, n=Py_ssize_t, block=Block)
    cpdef Py_ssize_t take(self, Py_ssize_t limit) except -1
    cpdef cancelled(self)

cdef class ChannelCore:
    cdef readonly ConnectionCore connection
    cdef readonly uint32_t number
    cdef readonly Unacked unacked
    cdef public list subscribers
    cdef public uint64_t delivery_tag
    cdef public Py_ssize_t limit
    cdef public bint is_slow
    cdef public bint is_stopped
    cdef public bint is_transactional
    cdef public bint confirm
    cdef public uint64_t published
    cdef public uint64_t confirmed
    cdef public bint is_confirming
    cdef public bint has_persistent
    cdef public object waiting
    cdef uint64_t last_commit
    cdef public set write_ok
    cdef public object last_ok
    cdef Py_ssize_t routes_seen
    cdef Route last_route

    cpdef on_cancelled(self, AmqpConsumer consumer)
    @cython.locals(unacked=Unacked, at=int64_t, p="unsigned char *")
    cpdef bint acknowledge(self, uint64_t tag, bint multiple) except -1
    @cython.locals(p="unsigned char *", consumer=AmqpConsumer, queue=QueueCore)
    cpdef settle(self, int64_t at)
    @cython.locals(p="unsigned char *", consumer=AmqpConsumer, queue=QueueCore)
    cdef requeue(self, int64_t at)
    @cython.locals(unacked=Unacked, at=int64_t, p="unsigned char *")
    cpdef bint reject(self, uint64_t tag, bint multiple, bint requeue) except -1
    cpdef requeue_all(self)
    @cython.locals(unacked=Unacked, p="unsigned char *", i=uint64_t, at=int64_t, consumer=AmqpConsumer, queue=QueueCore)
    cpdef tell(self, Walker walker)
    cpdef note_get(self, AmqpConsumer getter, uint32_t block, uint32_t offset, uint32_t size, uint32_t flags, uint64_t sequence)
    @cython.locals(consumer=AmqpConsumer, queue=QueueCore)
    cpdef mark_queues(self)

cdef class ConnectionCore(Outlet):
    cdef public RouteTable routes
    cdef public dict channels
    cdef public ChannelCore current
    cdef readonly list confirming
    cdef public Py_ssize_t queue_high
    cdef public Py_ssize_t frame_max
    cdef public uint64_t message_max
    cdef public bint is_open
    cdef public bint stopped
    cdef public bint has_published
    cdef public bint seen_bytes
    cdef scan.PropsCheck props
    cdef readonly Arrival arrival
    cdef readonly uint64_t deliveries
    cdef readonly uint64_t publishes

    @cython.locals(channel=ChannelCore)
    cpdef on_low(self)
    @cython.locals(channel=ChannelCore, tag=uint64_t, more=bint)
    cpdef bint committed(self, uint64_t number) except -1
    @cython.locals(o="unsigned char *", at=Py_ssize_t)
    cpdef send_confirm(self, ChannelCore channel, uint64_t tag)
    @cython.locals(channel=ChannelCore, r="unsigned char *", route_len=Py_ssize_t, n=Py_ssize_t, props_len=Py_ssize_t, left=Py_ssize_t, o="unsigned char *", at=Py_ssize_t, b=bytes, p="const unsigned char *")
    cdef deliver(self, AmqpConsumer consumer, Block block, uint32_t offset, uint32_t flags)
    cpdef on_frame(self, int kind, int number, bytes payload)
    cpdef on_bad_frame(self, int kind, Py_ssize_t size, bytes payload, int end)
    cpdef on_congested(self, QueueCore queue)
    @cython.locals(p="unsigned char *", at=Py_ssize_t, capacity=Py_ssize_t, n=Py_ssize_t, number=uint32_t, channel=ChannelCore, method=uint32_t, used=Py_ssize_t, arrival=Arrival)
    cpdef Py_ssize_t parse(self, bytearray data, Py_ssize_t size) except -1
    @cython.locals(dispatcher=Dispatcher, channel=ChannelCore)
    cpdef finish_batch(self)
    @cython.locals(n=Py_ssize_t, route_at=Py_ssize_t, route_len=Py_ssize_t, header=Py_ssize_t, end=Py_ssize_t, props_at=Py_ssize_t, props_len=Py_ssize_t, route=Route, routes=RouteTable, bits=int, persistent=bint, limit=uint64_t)
    cdef Py_ssize_t publish(self, ChannelCore channel, unsigned char *p, Py_ssize_t at, Py_ssize_t size) except -2
    cpdef count_publish(self, ChannelCore channel)
    @cython.locals(dispatcher=Dispatcher, log=LogBuffer, ids_len=Py_ssize_t, flags=uint32_t, left=Py_ssize_t, offset=Py_ssize_t, block=Block, q="unsigned char *", target=Py_ssize_t, source=Py_ssize_t, n=Py_ssize_t)
    cdef lay(self, ChannelCore channel, Route route, bint persistent, const unsigned char *p, Py_ssize_t route_at, Py_ssize_t route_len, Py_ssize_t props_at, Py_ssize_t props_len, Py_ssize_t header)
    @cython.locals(left=uint64_t, dispatcher=Dispatcher, route_len=Py_ssize_t, props_len=Py_ssize_t, log=LogBuffer, offset=Py_ssize_t, block=Block, target=Py_ssize_t)
    cdef Py_ssize_t welcome(self, ChannelCore channel, unsigned char *p, Py_ssize_t at, Py_ssize_t header) except -2
    cdef Py_ssize_t fill(self, Arrival arrival, unsigned char *p, Py_ssize_t at, Py_ssize_t size) except -1
    @cython.locals(channel=ChannelCore, block=Block, offset=Py_ssize_t, r="unsigned char *", route_len=Py_ssize_t, routes=RouteTable, route=Route, log=LogBuffer, props_len=Py_ssize_t, left=Py_ssize_t, props_at=Py_ssize_t, at=Py_ssize_t, kept=Block, size=Py_ssize_t)
    cdef complete(self, Arrival arrival)
    @cython.locals(number=int, block=Block, r="unsigned char *", offset=Py_ssize_t, route_len=Py_ssize_t, props_len=Py_ssize_t, props_at=Py_ssize_t, route=bytes, props=bytes, body=bytes)
    cdef retreat(self, Arrival arrival)
    @cython.locals(arrival=Arrival)
    cpdef abandon(self, int number)
    @cython.locals(arrival=Arrival)
    cpdef drop_arrival(self)
    @cython.locals(size=uint32_t, dispatcher=Dispatcher, i=Py_ssize_t, queue=QueueCore)
    cdef push(self, list queues, Py_ssize_t count, Block block, Py_ssize_t offset, uint32_t flags)
    @cython.locals(dispatcher=Dispatcher, log=LogBuffer, flags=uint32_t, ids=bytes, offset=Py_ssize_t, block=Block)
    cpdef enqueue(self, ChannelCore channel, list queues, bytes durable_ids, bint persistent, bytes route, bytes props, bytes body)
