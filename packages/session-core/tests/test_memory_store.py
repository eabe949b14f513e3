from session_core import MemoryStore, Store
from session_core.testing import StoreConformance


class TestMemoryStore(StoreConformance):
    def new_store(self) -> Store:
        return MemoryStore(clock=self.clock)
