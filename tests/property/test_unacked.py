"""The unacked set against a dictionary."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from posthouse.core import mem
from posthouse.protocols.amqp091.unacked import Unacked

Values = tuple[int, int, int, int, int, int]


class UnackedMachine(RuleBasedStateMachine):
    """Tags rise with gaps (deliveries without acknowledgement); they are settled singly, from the front, or up to one."""

    def __init__(self) -> None:
        super().__init__()
        self.unacked = Unacked()
        self.model: dict[int, Values] = {}
        self.tag = 0

    @rule(count=st.integers(1, 40), gap=st.sampled_from([1, 1, 1, 2, 1000, 2**33]))
    def add(self, count: int, gap: int) -> None:
        for number in range(count):
            self.tag += gap
            values = (number, self.tag % 2**32, number * 8, number & 3, self.tag * 7, number + 5)
            self.unacked.add(self.tag, *values)
            self.model[self.tag] = values

    def settle(self, tag: int) -> None:
        at = self.unacked.find(tag)
        assert at >= 0
        ring = self.unacked.ring
        assert mem.le64(ring, at) == tag
        found = tuple(mem.le32(ring, at + place) for place in (8, 12, 16, 20))
        assert (*found, mem.le64(ring, at + 24), mem.le32(ring, at + 32)) == self.model.pop(tag)
        self.unacked.clear(at)

    @rule(data=st.data(), count=st.integers(1, 10))
    def settle_some(self, data: st.DataObject, count: int) -> None:
        for _ in range(min(count, len(self.model))):
            self.settle(data.draw(st.sampled_from(sorted(self.model))))

    @rule(data=st.data())
    def settle_up_to(self, data: st.DataObject) -> None:
        if not self.model:
            return
        last = data.draw(st.sampled_from(sorted(self.model)))
        while self.unacked.count:
            tag = mem.le64(self.unacked.ring, self.unacked.front())
            if tag > last:
                break
            assert tag == min(self.model)
            self.settle(tag)

    @rule(tag=st.integers(0, 2**64 - 1))
    def look_up_any(self, tag: int) -> None:
        assert (self.unacked.find(tag) >= 0) == (tag in self.model)

    @rule(data=st.data())
    def look_up_near(self, data: st.DataObject) -> None:
        if self.tag:
            tag = data.draw(st.integers(max(0, self.tag - 200), self.tag + 2))
            assert (self.unacked.find(tag) >= 0) == (tag in self.model)

    @invariant()
    def agrees(self) -> None:
        assert self.unacked.count == len(self.model)
        assert self.unacked.tags() == sorted(self.model)
        assert (self.unacked.front() >= 0) == bool(self.model)


UnackedMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestUnacked = UnackedMachine.TestCase
