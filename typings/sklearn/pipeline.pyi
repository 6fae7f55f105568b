from collections.abc import Sequence

from sklearn.base import BaseEstimator

class Pipeline(BaseEstimator):
    def __init__(self, steps: Sequence[tuple[str, BaseEstimator]]) -> None: ...
