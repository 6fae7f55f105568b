from collections.abc import Sequence

from sklearn.base import BaseEstimator, TransformerMixin

class ColumnTransformer(TransformerMixin, BaseEstimator):
    def __init__(
        self,
        transformers: Sequence[tuple[str, BaseEstimator | str, str | Sequence[str]]],
        *,
        sparse_threshold: float = 0.3,
    ) -> None: ...
