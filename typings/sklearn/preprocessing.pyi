from sklearn.base import BaseEstimator, TransformerMixin

class StandardScaler(TransformerMixin, BaseEstimator):
    def __init__(self, *, with_mean: bool = True) -> None: ...

class OneHotEncoder(TransformerMixin, BaseEstimator):
    def __init__(
        self,
        *,
        handle_unknown: str = "error",
        max_categories: int | None = None,
        sparse_output: bool = True,
    ) -> None: ...
