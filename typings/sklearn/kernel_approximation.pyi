from sklearn.base import BaseEstimator, TransformerMixin

class Nystroem(TransformerMixin, BaseEstimator):
    def __init__(
        self,
        kernel: str = "rbf",
        *,
        gamma: float | None = None,
        n_components: int = 100,
        random_state: int | None = None,
    ) -> None: ...
