"""Posthouse as a client: the parts that stand on the other side of the wire."""
