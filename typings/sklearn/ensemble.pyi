from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

class HistGradientBoostingClassifier(ClassifierMixin, BaseEstimator):
    def __init__(
        self,
        *,
        learning_rate: float = 0.1,
        max_iter: int = 100,
        max_leaf_nodes: int | None = 31,
        max_depth: int | None = None,
        min_samples_leaf: int = 20,
        l2_regularization: float = 0.0,
        max_bins: int = 255,
        early_stopping: bool | str = "auto",
        random_state: int | None = None,
    ) -> None: ...

class HistGradientBoostingRegressor(RegressorMixin, BaseEstimator):
    def __init__(
        self,
        *,
        learning_rate: float = 0.1,
        max_iter: int = 100,
        max_leaf_nodes: int | None = 31,
        early_stopping: bool | str = "auto",
        random_state: int | None = None,
    ) -> None: ...
