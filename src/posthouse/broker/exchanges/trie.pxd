import cython

@cython.final
cdef class Node:
    cdef dict children
    cdef Node star
    cdef Node hash
    cdef dict targets
    cdef bint is_hash
    cdef long long entered

    cdef bint is_empty(self)
    cdef Node child(self, bytes word)
    cdef Node grow(self, bytes word)
    cdef prune(self, bytes word)

@cython.final
cdef class TopicTrie:
    cdef Node root
    cdef long long step

    cpdef bint is_empty(self)
    @cython.locals(node=Node)
    cpdef add(self, bytes pattern, object target)
    @cython.locals(node=Node, child=Node, path=list)
    cpdef remove(self, bytes pattern, object target)
    @cython.locals(node=Node, current=list, following=list, found=dict)
    cpdef dict match(self, bytes key)
    cdef enter(self, Node node, list into)

cdef list words(bytes key)
