from sklearn.base import BaseEstimator

class MultiOutputClassifier(BaseEstimator):
    def __init__(self, estimator: BaseEstimator) -> None: ...
