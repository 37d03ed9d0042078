"""Equal data has one digest; other values, types, shapes or cuts have others."""

import numpy as np

from globalconv.tasks.digest import digest_of


def test_equal_data_has_one_digest():
    data = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert digest_of(data, data) == digest_of(data.copy(), np.asfortranarray(data))


def test_other_data_has_another():
    zeros = np.zeros(8, np.uint8)
    others = [
        (zeros,),
        (zeros.reshape(2, 4),),
        (zeros.view(np.int8),),
        (zeros.view(np.int64),),
        (zeros[:4], zeros[:4]),
        (zeros, zeros[:0]),
        (np.ones(8, np.uint8),),
    ]
    assert len({digest_of(*arrays) for arrays in others}) == len(others)
