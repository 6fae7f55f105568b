from sklearn.base import BaseEstimator, TransformerMixin

class SimpleImputer(TransformerMixin, BaseEstimator):
    def __init__(
        self,
        *,
        strategy: str = "mean",
        add_indicator: bool = False,
        keep_empty_features: bool = False,
    ) -> None: ...
