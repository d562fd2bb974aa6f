"""The core of Muniment: what an event is, how it is signed, chained, stored, judged and proven."""
