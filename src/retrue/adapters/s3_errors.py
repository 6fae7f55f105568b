"""What S3 says, in words that tell what to do."""

from __future__ import annotations

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    PartialCredentialsError,
    ResponseStreamingError,
    TokenRetrievalError,
    UnauthorizedSSOTokenError,
)
from botocore.exceptions import ConnectionError as BotoConnectionError

from retrue.errors import RetrueError, ServiceUnavailable, StoreError

__all__ = ["explain"]

_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"}
_KEYS = {"InvalidAccessKeyId", "SignatureDoesNotMatch", "AuthFailure", "InvalidToken"}
_REGION = {
    "PermanentRedirect",
    "AuthorizationHeaderMalformed",
    "IllegalLocationConstraintException",
}
_BUSY = {"SlowDown", "RequestTimeout", "Throttling", "ThrottlingException", "InternalError"}
_CUT = (BotoConnectionError, HTTPClientError, IncompleteReadError, ResponseStreamingError)
_LOGIN = (
    NoCredentialsError,
    PartialCredentialsError,
    TokenRetrievalError,
    UnauthorizedSSOTokenError,
)


_ADVICE = {  # by code, else by HTTP status
    "NoSuchBucket": "expected a bucket, found none of this name. Correct the uri.",
    "403": "access denied. Grant s3:ListBucket on the bucket and s3:GetObject "
    "(s3:GetObjectVersion where it keeps versions) on its objects.",
    "404": "expected an object or version, found none. Was it deleted?",
    "412": "the object changed since it was listed, and the bucket keeps no versions. Run the step "
    "again for new rows; restore the old object for a window that was recorded before.",
}


def explain(uri: str, error: ClientError | BotoCoreError) -> RetrueError:
    """The error to raise instead: transient where calling again may help."""
    if isinstance(error, ClientError):
        return _refused(uri, error)
    if isinstance(error, _CUT):
        return ServiceUnavailable(f"{uri}: the object store did not answer: {error}")
    if isinstance(error, _LOGIN):
        return StoreError(
            f"{uri}: expected credentials, found none that work ({error}). Set AWS_ACCESS_KEY_ID "
            "and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or log in again."
        )
    return StoreError(f"{uri}: the request could not be made: {error}")


def _refused(uri: str, error: ClientError) -> RetrueError:
    """By code; a HEAD has no body, so its code is only the HTTP status."""
    code = error.response.get("Error", {}).get("Code", "")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code in _BUSY or status >= 500 or status == 429:
        return ServiceUnavailable(f"{uri}: the object store is busy or failing ({code or status})")
    if code in _EXPIRED:
        return StoreError(f"{uri}: the session token has expired. Log in again, then call again.")
    if code in _KEYS:
        return StoreError(
            f"{uri}: the access key or its secret is wrong ({code}). Check AWS_ACCESS_KEY_ID, "
            "AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, and that they belong to AWS_ENDPOINT_URL."
        )
    if code in _REGION or status == 301:
        return StoreError(f"{uri}: the bucket is in another region. {_region_hint(error)}")
    advice = _ADVICE.get(code) or _ADVICE.get(str(status))
    return StoreError(f"{uri}: {advice or f'the object store refused: {code} (HTTP {status})'}")


def _region_hint(error: ClientError) -> str:
    headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    region = headers.get("x-amz-bucket-region") or error.response.get("Error", {}).get("Region")
    return f"Set AWS_REGION={region}." if region else "Set AWS_REGION to the bucket's region."
