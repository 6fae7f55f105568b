from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

class LogisticRegression(ClassifierMixin, BaseEstimator):
    def __init__(
        self, *, C: float = 1.0, max_iter: int = 100, random_state: int | None = None
    ) -> None: ...

class Ridge(RegressorMixin, BaseEstimator):
    def __init__(self, alpha: float = 1.0, *, random_state: int | None = None) -> None: ...
