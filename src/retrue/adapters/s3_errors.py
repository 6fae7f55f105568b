"""What S3 says, in words that tell what to do."""

from __future__ import annotations

import re
from dataclasses import dataclass

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    HTTPClientError,
    IncompleteReadError,
    InvalidConfigError,
    InvalidRegionError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
    ResponseStreamingError,
    SSLError,
    SSOTokenLoadError,
    TokenRetrievalError,
    UnauthorizedSSOTokenError,
)
from botocore.exceptions import ConnectionError as BotoConnectionError

from retrue.adapters.foreign_words import in_short
from retrue.errors import ObjectGone, RetrueError, ServiceUnavailable, StoreError

__all__ = ["CUT", "IF_AWAY", "S3Settings", "code_of", "explain", "is_expired"]

CUT = (BotoConnectionError, HTTPClientError, IncompleteReadError, ResponseStreamingError)

_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"}
_BUSY = {
    "SlowDown",
    "ServiceUnavailable",
    "RequestTimeout",
    "Throttling",
    "ThrottlingException",
    "RequestLimitExceeded",
    "InternalError",
}
_SETTINGS = (NoRegionError, InvalidRegionError, InvalidConfigError)
_LOGIN = (
    CredentialRetrievalError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOTokenLoadError,
    TokenRetrievalError,
    UnauthorizedSSOTokenError,
)

_LOG_IN = "the session token has expired. Log in again, then call again."
_WRONG_PAIR = (
    "the access key or its secret is wrong ({code}). Check {settings.access}, {settings.secret}, "
    "AWS_SESSION_TOKEN, and that they belong to {settings.endpoint}."
)
_UNKNOWN_KEY = (
    "this store does not know the access key ({code}). Correct {settings.access}, or "
    "{settings.endpoint} if the key is another store's."
)
_OTHER_KEYS = (
    "the secret is not the access key's ({code}). Correct {settings.secret} or {settings.access}."
)
_CLOCK = (
    "this machine's clock is too far from the object store's: {clocks}. Set the clock (15 minutes "
    "are allowed), then call again."
)
_ELSEWHERE = "the bucket is in another region. {region}"
_ADVICE = {  # by code, else by HTTP status
    **dict.fromkeys(_EXPIRED, _LOG_IN),
    **dict.fromkeys(("AuthFailure", "InvalidToken"), _WRONG_PAIR),
    "InvalidAccessKeyId": _UNKNOWN_KEY,
    "SignatureDoesNotMatch": _OTHER_KEYS,
    **dict.fromkeys(("RequestTimeTooSkewed", "RequestInTheFuture"), _CLOCK),
    **dict.fromkeys(
        ("PermanentRedirect", "TemporaryRedirect", "IllegalLocationConstraintException", "301"),
        _ELSEWHERE,
    ),
    "NoSuchBucket": "expected a bucket, found none of this name. Correct the uri.",
    "InvalidBucketName": "expected the name of a bucket, got what none may have. Correct the uri.",
    "InvalidObjectState": "the object is archived. Restore it first (s3:RestoreObject).",
    "NoSuchVersion": "expected this version of the object, found it deleted.",
    "403": "access denied. Grant s3:ListBucket on the bucket and s3:GetObject "
    "(s3:GetObjectVersion where it keeps versions) on its objects.",
    "404": "expected an object or version, found none. Was it deleted?",
    "412": "the object changed since it was listed, and the bucket keeps no versions. Run the step "
    "again for new rows; restore the old object for a window that was recorded before.",
}
_GONE = [_ADVICE[code] for code in ("NoSuchVersion", "404", "412")]


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Settings:
    """Where a person sets what a store is asked with."""

    access: str = "AWS_ACCESS_KEY_ID"
    secret: str = "AWS_SECRET_ACCESS_KEY"  # noqa: S105 - a name
    endpoint: str = "AWS_ENDPOINT_URL"


OF_THE_ENVIRONMENT = S3Settings()
IF_AWAY = (
    "Check {settings.endpoint} and the network; if it is this machine's stack: `retrue stack up`."
)


def explain(
    uri: str,
    error: ClientError | BotoCoreError | RuntimeError,
    settings: S3Settings = OF_THE_ENVIRONMENT,
) -> RetrueError:
    """The error to raise instead: transient where calling again may help."""
    if isinstance(error, ClientError):
        return _refused(uri, error, settings)
    if isinstance(error, RecursionError):  # botocore asks where the bucket is, and is sent on again
        return StoreError(
            f"{uri}: the object store redirects every request. Correct AWS_ENDPOINT_URL (http "
            "where https is expected?) or AWS_REGION."
        )
    if isinstance(error, RuntimeError):  # what botocore says of credentials past their time
        return StoreError(f"{uri}: {error} Log in again, then call again.")
    if isinstance(error, SSLError):
        return StoreError(
            f"{uri}: the object store's certificate is not trusted: {error}. Name your own "
            "authority's certificate in AWS_CA_BUNDLE."
        )
    if isinstance(error, CUT):
        said = in_short(re.sub(r'\?[^"\s]*', "", str(error)))  # without the query of an address
        return ServiceUnavailable(
            f"{uri}: the object store did not answer: {said}. {IF_AWAY.format(settings=settings)}"
        )
    if isinstance(error, _LOGIN):
        return StoreError(
            f"{uri}: expected credentials, found none that work ({error}). Set AWS_ACCESS_KEY_ID "
            "and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or log in again."
        )
    if isinstance(error, _SETTINGS):
        return StoreError(f"{uri}: {error} Set AWS_REGION (any word does for a server of your own)")
    return StoreError(f"{uri}: the request could not be made: {error}")


def code_of(error: ClientError) -> str:
    """S3's own word; the HTTP status where it sent none, as for every HEAD."""
    return error.response.get("Error", {}).get("Code", "")


def is_expired(error: ClientError) -> bool:
    """Whether newer credentials would help."""
    return code_of(error) in _EXPIRED


def _refused(uri: str, error: ClientError, settings: S3Settings) -> RetrueError:
    code = code_of(error)
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code in _BUSY or status >= 500 or status == 429:
        return ServiceUnavailable(f"{uri}: the object store is busy or failing ({code or status})")
    advice = _ADVICE.get(code)
    if code == "AuthorizationHeaderMalformed":  # said of a wrong region, and of garbled keys
        advice = _ELSEWHERE if _region(error) else _WRONG_PAIR
    elif advice is None:
        advice = _ADVICE.get(str(status), f"the object store refused: {code} (HTTP {status})")
    told = advice.format(
        code=code, clocks=_clocks(error), region=_set_region(error), settings=settings
    )
    return (ObjectGone if advice in _GONE else StoreError)(f"{uri}: {told}")


def _set_region(error: ClientError) -> str:
    region = _region(error)
    return f"Set AWS_REGION={region}." if region else "Set AWS_REGION to the bucket's region."


def _region(error: ClientError) -> str | None:
    headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    return headers.get("x-amz-bucket-region") or error.response.get("Error", {}).get("Region")


def _clocks(error: ClientError) -> str:
    """Both times, where the store tells them."""
    said = error.response.get("Error", {})
    ours, theirs = said.get("RequestTime"), said.get("ServerTime")
    if ours and theirs:
        return f"here {ours}, there {theirs}"
    date = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
    return f"there it is {date}" if date else "it did not say what time it has"
