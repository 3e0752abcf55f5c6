# The compiled form of layout.py.
cdef enum:
    KIND_ENQ = 1
    KIND_ACK = 2
    KIND_MOVE = 3
    ENTRY_HEADER_SIZE = 40
    RECORD_HEADER_SIZE = 24
    RECORD_PERSISTENT = 1
    UNACKED_SLOT = 40
    REDELIVERED = 1
    PERSISTENT = 2
    DEAD = 8
