import numpy as np
from numpy.typing import NDArray

from hftcap.capture.format import BlockHeader

class BlockOpener:
    def open(
        self,
        header: BlockHeader,
        body: bytes | memoryview,
        payloads: bytearray,
        columns: NDArray[np.uint8],
        payload_most: int,
        kinds: int,
    ) -> bool | None: ...
