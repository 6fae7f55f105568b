from collections.abc import Iterable

from scipy.sparse import csr_matrix
from sklearn.base import BaseEstimator, TransformerMixin

class HashingVectorizer(TransformerMixin, BaseEstimator):
    def __init__(self, *, n_features: int = 1048576, alternate_sign: bool = True) -> None: ...
    def transform(self, X: Iterable[str]) -> csr_matrix: ...

class TfidfVectorizer(TransformerMixin, BaseEstimator):
    def __init__(
        self,
        *,
        ngram_range: tuple[int, int] = (1, 1),
        max_features: int | None = None,
        sublinear_tf: bool = False,
    ) -> None: ...
